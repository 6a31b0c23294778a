"""`python -m sensor_storage` is the command `sensor-storage`."""

from sensor_storage.cli import main

if __name__ == "__main__":
    main()
