"""What `larqnets convert --int8` and the options about it ask for, looked at before the work."""

from collections.abc import Sequence
from typing import cast

from deploy.targets import CALIBRATIONS, END_TYPES, RESTS, Calibration, Ends, EndType, Int8Request, Rest
from larqnets.cli.preflight import check_choice
from larqnets.errors import LarqnetsError


def int8_requests(
    rests: Sequence[str] | None,
    images: int | None,
    calibration: str | None,
    keep_float: str | None,
    input_type: str | None,
    output_type: str | None,
    max_drop: float | None,
) -> tuple[Int8Request, ...]:
    """Return what --int8 of `larqnets convert` and the options about it ask for."""
    about = {
        "--calibration-images": images,
        "--calibration": calibration,
        "--keep-float": keep_float,
        "--input-type": input_type,
        "--output-type": output_type,
        "--max-drop": max_drop,
    }
    given = {option: value for option, value in about.items() if value is not None}
    if not rests and given:
        raise LarqnetsError(
            f"{next(iter(given))} is about files with an int8 rest. Add --int8 {' or --int8 '.join(RESTS)}."
        )
    for rest in rests or ():
        check_choice("int8 rest", rest, RESTS)
    check_choice("calibration", calibration, CALIBRATIONS)
    check_choice("input type", input_type, END_TYPES)
    check_choice("output type", output_type, END_TYPES)
    ends = Ends(cast(EndType, input_type or "float"), cast(EndType, output_type or "float"))
    kept = tuple(dict.fromkeys(name.strip() for name in (keep_float or "").split(",") if name.strip()))
    usual = Int8Request("mixed")
    return tuple(
        Int8Request(
            cast(Rest, rest),
            images or usual.images,
            cast(Calibration, calibration or usual.calibration),
            kept,
            ends,
            max_drop,
        )
        for rest in dict.fromkeys(rests or ())
    )
