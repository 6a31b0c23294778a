"""What is hidden in a text, and what is left as it was."""

import pytest

from sensor_storage.secrecy import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pass@host:8081/x", "http://(hidden)@host:8081/x"),
        ("http://token@host", "http://(hidden)@host"),
        ("a:b@host:9092,c:d@other:9092", "(hidden)@host:9092,(hidden)@other:9092"),
        ("write 'x' in s3://key:secret@bucket: no", "write 'x' in s3://(hidden)@bucket: no"),
        ("/c/b?sv=2024&sp=rw&sig=a%2Fb%3D&se=1 is", "/c/b?sv=2024&sp=rw&sig=(hidden)&se=1 is"),
        ("AccountName=x;AccountKey=ab/c+==;E=1", "AccountName=x;AccountKey=(hidden);E=1"),
        ("Endpoint=sb://n/;SharedAccessKey=abc=", "Endpoint=sb://n/;SharedAccessKey=(hidden)"),
        ("sasl.password=hush ssl.key.password=x", "sasl.password=(hidden) ssl.key.password=(hidden)"),
    ],
)
def test_logins_and_tokens_are_hidden_and_the_rest_is_not(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "^sensor-data-(?P<asset_id>[^@]+)@.*",
        "press 7: 21.5 °C",
        "me@plant.example",
        "http://host:8081/path?from=2024-01-01T00:00:00Z",
        "design=4 monkey=7 keys=3",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_secrets(text) == text
