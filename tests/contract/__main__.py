"""`python -m tests.contract [--write] [NAME ...]`: say what differs from the golden files, or make them anew."""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

from ._golden import FOLDER, NEAR_TIE, Found, differences, read, unpack, write
from ._scenarios import scenarios


def main(arguments: list[str]) -> int:
    """Run scenarios, all or those whose names begin so; print what differs; return 1 where something does."""
    renew = "--write" in arguments
    begins = tuple(one for one in arguments if not one.startswith("-")) or ("",)
    changed = 0
    for name, run in scenarios().items():
        if not name.startswith(begins):
            continue
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = run()
        took = time.perf_counter() - start
        is_new = not (FOLDER / f"{name}.json").is_file()
        wrong = [] if is_new else differences(read(name), found)
        said = [] if is_new else [*summary(read(name), found), *wrong]
        changed += is_new or bool(wrong)
        ties = int((found.numbers.get("margin", np.ones(1)) < NEAR_TIE).sum())
        print(f"{name:28} {took:6.2f} s  {'new' if is_new else 'differs' if wrong else 'same'}", end="")
        print(f"  ({ties} near-ties)" if ties else "")
        print("".join(f"    {one}\n" for one in said), end="", flush=True)
        if renew and (is_new or wrong):
            write(name, found)
    return int(changed > 0 and not renew)


def summary(before: Found, after: Found) -> list[str]:
    """Say in numbers what a change does: labels, confidence, reasons, keys of records. Nothing if nothing changed."""
    out = []
    for name, what in (("label", "labels"), ("rationale", "reasons")):
        if name in before.text and name in after.text:
            pairs = list(zip(unpack(before.text[name]), unpack(after.text[name]), strict=False))
            n = sum(one != other for one, other in pairs)
            out += [f"{n} of {len(pairs)} {what} changed"] if n else []
    if "confidence" in before.numbers and before.numbers["confidence"].shape == after.numbers["confidence"].shape:
        gap = float(np.nanmax(np.abs(before.numbers["confidence"] - after.numbers["confidence"])))
        out += [f"largest difference of confidence {gap:.6f}"] if gap > 1e-4 else []
    old, new = (one.text.get("record", {}) for one in (before, after))
    out += [f"record loses {key!r}" for key in old if key not in new]
    out += [f"record gains {key!r}" for key in new if key not in old]
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
