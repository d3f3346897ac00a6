"""`python -m keras_initkit_light` is the command line `keras-initkit`."""

from keras_initkit_light.cli.main import main

if __name__ == "__main__":
    main()
