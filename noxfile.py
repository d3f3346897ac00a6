"""What CI checks, one by one: `pipx run nox -s lint types tests docs wheel`."""

import pathlib

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests", "docs", "wheel"]
_NIGHTLY = ("keras-nightly", "tf-nightly")


@nox.session
def lint(session: nox.Session) -> None:
    """Checks style and formatting."""
    session.install("ruff==0.17.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Checks types."""
    session.install("-e", ".[test]")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Runs the tests on the newest versions."""
    session.install("-e", ".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def floor(session: nox.Session) -> None:
    """Runs the tests on the lowest versions that `pyproject.toml` allows."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    lowest = [bound.replace(">=", "==") for bound in project["dependencies"]]
    session.install("-e", ".[test]", *lowest)
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Runs the tests on Keras's nightly build."""
    session.install("-e", ".[test]")
    session.install("--pre", "--upgrade", *_NIGHTLY)
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Builds the site strictly."""
    session.install("-e", ".[docs]")
    target = ("docs", "build/site")
    session.run("python", "-m", "sphinx", "-W", "-n", "--keep-going", *target)


@nox.session
def wheel(session: nox.Session) -> None:
    """Builds the wheel, installs it in an empty environment, and asks it for help."""
    session.install("build")
    built = pathlib.Path(session.create_tmp())
    session.run("python", "-m", "build", "--wheel", "--outdir", str(built))
    session.run("python", "-m", "venv", str(built / "empty"))
    programs = built / "empty" / "bin"
    (made,) = built.glob("keras_initkit-*.whl")
    pip = (str(programs / "python"), "-m", "pip", "install", "--quiet")
    session.run(*pip, str(made), external=True)
    session.run(str(programs / "keras-initkit"), "--help", external=True)
    check = "import keras_initkit as kik; print(len(kik.initializers.catalog()))"
    session.run(str(programs / "python"), "-c", check, external=True)
