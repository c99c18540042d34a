"""Makes vendor/cupola_greeting-1.0.0-py3-none-any.whl. A wheel is a zip file with three lists in it."""

import base64
import hashlib
import pathlib
import zipfile

HERE = pathlib.Path(__file__).parent
INFO = "cupola_greeting-1.0.0.dist-info"
FILES = {
    "cupola_greeting/__init__.py": (HERE / "cupola_greeting/__init__.py").read_text(),
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: cupola-greeting\nVersion: 1.0.0\nSummary: A greeting\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: build.py\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


def record():
    lines = []
    for name, text in FILES.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(text.encode())}\n")
    return "".join(lines) + f"{INFO}/RECORD,,\n"


with zipfile.ZipFile(HERE.parent / "vendor/cupola_greeting-1.0.0-py3-none-any.whl", "w") as wheel:
    for name, text in {**FILES, f"{INFO}/RECORD": record()}.items():
        wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
