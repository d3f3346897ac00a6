"""`python -m keras_initkit`: the command line."""

from keras_initkit_light.cli.main import main

if __name__ == "__main__":
    main()
