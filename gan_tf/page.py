"""Make a page that anyone can open: a run's generator, in one HTML file.

Example: python -m gan_tf.page runs/NAME --out page.html

The networks run in the reader's browser. There is no server and no download.

Several runs make one page with a chooser.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import tyro

from gan_tf.common.errors import InputError, exit_on_input_error
from gan_tf.common.options import Checked, parse_options
from gan_tf.common.quiet import skip_optional_packages


@dataclasses.dataclass(frozen=True)
class Options(Checked):
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN_DIR [RUN_DIR ...]")]
    """The folders of the runs. Only config.json and generator.keras are needed; the discriminator, the history, the
    sample grids and the measures are shown where they are."""
    out: Annotated[Path, tyro.conf.arg(metavar="NAME.html")] = Path("page.html")
    """The file to write. An existing file is replaced."""

    def __post_init__(self):
        super().__post_init__()
        if not self.runs:
            raise InputError("Name at least one run's folder: python -m gan_tf.page runs/NAME")
        if self.out.suffix != ".html":
            self.reject("out", "a name that ends in .html")


def make(options: Options) -> None:
    """Run the command. Raises InputError."""
    from gan_tf.common.files import atomic_write
    from gan_tf.run import devices
    from gan_tf.web.build import make_page

    devices.prepare()
    page, differences = make_page(options.runs)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(options.out) as temporary:
            temporary.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{options.out} could not be written ({error.strerror or error}).") from error
    for name, difference in differences:
        print(f"{name}: weights rounded to float16; a pixel differs from Keras's by at most {difference:.2g} of 255.")
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB. Open it in a browser, or send it to somebody.")


def parse(argv: list[str]) -> Options:
    """The command line's options. Raises InputError."""
    return parse_options(Options, prog="python -m gan_tf.page", description=__doc__ or "", argv=argv)


def main(argv: list[str] | None = None) -> None:
    """Run the command with `argv`, or else with the arguments of the process."""
    with exit_on_input_error():
        make(parse(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    skip_optional_packages()
    main()
