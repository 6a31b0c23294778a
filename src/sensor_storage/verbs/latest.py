"""`latest`: each sensor's newest reading, and its age."""

import click

from sensor_storage.client import Plant
from sensor_storage.query.question import ALL
from sensor_storage.verbs.asking import plant_options
from sensor_storage.verbs.options import Output, output_options

EPILOG = """\b
Examples:
  sensor-storage latest                              every sensor
  sensor-storage latest press-7                      one asset's
  sensor-storage latest --url http://127.0.0.1:8080  as the service sees them

Exit codes: 0 good; 1 nothing is stored of that; 2 usage, or
only a cold store that is not set has it; 4 the service does not answer."""
_COLUMNS = {
    "asset_id": "asset",
    "sensor_name": "sensor",
    "value": "value",
    "text": "text",
    "unit": "unit",
    "quality": "quality",
    "timestamp": "time",
    "age_seconds": "age, s",
}


@click.command("latest", epilog=EPILOG)
@click.argument("asset", default=ALL)
@click.argument("sensor", default=ALL)
@output_options
@plant_options
def command(output: Output, plant: Plant, asset: str, sensor: str) -> int:
    """Show each sensor's newest reading by its own time, and its age."""
    found = plant.latest(asset, sensor)
    output.items(found, _COLUMNS)
    output.summary({"sensors": len(found)})
    if not found:
        output.note(f"nothing is stored of asset {asset}, sensor {sensor}; `sensor-storage ls` lists what is")
        return 1
    return 0
