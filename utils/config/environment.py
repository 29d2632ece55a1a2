"""The environment as one source sees it: its own variables first, then the plain ones."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from utils.config.lookalikes import SECRETS, SESSION_TOKEN, VARIABLES, lookalikes
from utils.errors import ForwarderError
from utils.wording import did_you_mean, found

# Visible ASCII, because an access key goes into a request's header.
_KEY = re.compile(r"[!-~]+")
# Docker keeps those of an --env-file as part of the value.
_MARKS = ("'", '"')
# A key in place of another value must not be shown. A path begins with a slash.
LIKE_A_KEY = r"[A-Za-z0-9+=][A-Za-z0-9/+=]{15,}"
# Letters as in base64; or, as names of files have `-` and `_` too, with capitals and digits.
_LIKE_A_KEY_WITH_A_SLASH = re.compile(
    r"/[A-Za-z0-9/+=]{15,}|(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])/[A-Za-z0-9/+=_-]{15,}"
)


def prefix_of(source: str) -> str:
    """Returns what a source's own variables begin with; nothing for a source without a name."""
    return re.sub(r"[^A-Z0-9]", "_", source.upper()) + "_" if source else ""


def looks_like_key(value: str) -> bool:
    """Tells if a value that should be something else might be a key by mistake."""
    return re.fullmatch(LIKE_A_KEY, value) is not None


class Form(NamedTuple):
    """What a variable may hold, as a pattern and in words."""

    pattern: str
    allowed: str
    is_secret: bool = False


class Variables:
    """Reads the variables of one source, and collects what is wrong with them.

    Args:
        values: the environment.
        read_file: returns the text of a file; may raise OSError or ValueError.
        source: the name of the source, empty without one.
        strays: the names of variables that no source reads.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        read_file: Callable[[str], str],
        source: str,
        strays: Sequence[str],
    ) -> None:
        self._values = values
        self._read_file = read_file
        self._source = source
        self._prefix = prefix_of(source)
        self._strays = strays
        self._missing: set[str] = set()
        self.problems: list[ForwarderError] = []

    def get(self, base: str) -> tuple[str, str]:
        """Returns the name and the value of a variable, or an empty value if it is missing."""
        name = self._prefix + base if self._is_set(self._prefix + base) else base
        return name, self._value(name)

    def formed(self, base: str, form: Form, *, is_needed: bool = False) -> str:
        """Returns the value of a variable that has a form, empty if it is missing or wrong."""
        name, value = self.get(base)
        if not value and is_needed:
            self.report_missing(base)
        if not value or not self.is_bare(name, value):
            return ""
        if re.fullmatch(form.pattern, value):
            return value
        is_key = looks_like_key(value)
        shown = "has another form" if form.is_secret else f"is {found(value)}"
        what = "looks like a key, so it is not shown" if is_key else shown
        tidy = value.lower().replace("_", "-")
        is_near = base.endswith("_REGION") and re.fullmatch(form.pattern, tidy)
        hint = did_you_mean(tidy, [tidy]) if is_near and not is_key else ""
        self.report(name, what, f"allowed: {form.allowed}", hint)
        return ""

    def has_pair(self, kind: str) -> bool:
        """Tells if an access key or a secret key of `LYVE` or `AWS` is set, in either form."""
        return any(self._is_set(name) for name in self._pair_names(kind))

    def pair(self, kind: str) -> tuple[str, str]:
        """Returns the access key and the secret key of `LYVE` or `AWS`, empty if it is wrong."""
        access, secret = self._pair_names(kind)
        return self._secret(access, secret), self._secret(secret, access)

    def session_token(self) -> str:
        """Returns the token of the temporary key in `AWS_ACCESS`, empty if it is wrong."""
        access, _ = self._pair_names("AWS")
        name = access.replace("AWS_ACCESS", SESSION_TOKEN)
        token = self._value(name)
        if not token:
            what = f"is missing, but {access} holds a temporary key, which begins with ASIA"
            hint = f"Set {name} too, or use a lasting key: a temporary one ends within hours"
            self.report(name, what, hint=hint)
        return self._checked(name, token)

    def report(self, name: str, what: str, detail: str = "", hint: str = "") -> None:
        """Adds a problem; `what` continues the sentence that begins with the variable's name."""
        own = self._base(name) != name
        where = f'environment: source "{self._source}"' if own else "environment"
        self.problems.append(ForwarderError(f"{where}: {name} {what}", detail, hint))

    def report_missing(self, base: str) -> None:
        """Adds the problem that a variable is set neither for this source nor for all."""
        what = f"is missing, and so is {base}" if self._prefix else "is missing"
        hint = f"Set {base}"
        if base in SECRETS:
            hint += f", or {base}_FILE to the path of a file that holds it"
        self.report(self._prefix + base, what, hint=self._missing_hint(base) or hint)

    def report_slips(self) -> None:
        """Adds each variable that is a slip away from one that this source lacks."""
        for near in lookalikes(self._strays, self._prefix):
            lacking = not (
                near.base in self._missing
                or self._is_set(near.prefix + near.base)
                or self._is_set(self._prefix + near.base)
            )
            if lacking and near.is_slip:
                self.report(near.name, "is set, but it is not a known variable", hint=near.question)

    def is_bare(self, name: str, value: str) -> bool:
        """Tells if a value stands without quotation marks; else the problem is added."""
        if value[:1] not in _MARKS and value[-1:] not in _MARKS:
            return True
        hint = "Leave them out: an env file takes them as part of the value"
        self.report(name, "has quotation marks around it", hint=hint)
        return False

    def _value(self, name: str) -> str:
        return self._values.get(name, "").strip()

    def _is_set(self, name: str) -> bool:
        return bool(self._value(name) or (name.endswith(SECRETS) and self._value(f"{name}_FILE")))

    def _base(self, name: str) -> str:
        return name if name in VARIABLES else name.removeprefix(self._prefix)

    def _pair_names(self, kind: str) -> tuple[str, str]:
        """Takes a pair as a whole: half of each of two tenants would be no credential."""
        access, secret = f"{kind}_ACCESS", f"{kind}_SECRET"
        own = self._is_set(self._prefix + access) or self._is_set(self._prefix + secret)
        prefix = self._prefix if own else ""
        return prefix + access, prefix + secret

    def _secret(self, name: str, other_half: str) -> str:
        value, path = self._value(name), self._value(f"{name}_FILE")
        if value and path:
            self.report(name, f"and {name}_FILE are both set", hint="Keep one of them")
            return ""
        if path and not self.is_bare(f"{name}_FILE", path):
            return ""
        if path:
            return self._checked(name, self._read(f"{name}_FILE", path))
        if not value and self._is_set(other_half):
            self._report_half(name, other_half)
        elif not value:
            self.report_missing(self._base(name))
        return self._checked(name, value)

    def _read(self, name: str, path: str) -> str:
        try:
            text = self._read_file(path).strip()
            reason = "" if text else "it is empty"
        except OSError as exc:
            text, reason = "", exc.strerror or type(exc).__name__
        except ValueError:
            text, reason = "", "it is not a text file"
        if reason:
            hides = looks_like_key(path) or self._may_be_key(path)
            shown = "it looks like a key and is not shown" if hides else found(path)
            hint = "Check the path, and that this process may read the file"
            self.report(name, f"names a file that can't be used: {shown}", reason, hint)
        return text

    def _may_be_key(self, path: str) -> bool:
        """Tells if a file that is not there might be the key itself: it may begin with a slash.

        Whoever mistypes a path mostly has the folder right.
        """
        folder = path.rpartition("/")[0]
        if not _LIKE_A_KEY_WITH_A_SLASH.fullmatch(path):
            return False
        return not (folder and self._is_folder(folder))

    def _is_folder(self, path: str) -> bool:
        try:
            self._read_file(path)
        except IsADirectoryError:
            return True
        except (OSError, ValueError):
            return False
        return False

    def _checked(self, name: str, value: str) -> str:
        if not value or not self.is_bare(name, value):
            return ""
        if _KEY.fullmatch(value):
            return value
        detail = "it has white space or foreign letters in it"
        self.report(name, "does not hold a key", detail, "Copy the key again")
        return ""

    def _report_half(self, name: str, other_half: str) -> None:
        hint = f"Set {name} as well"
        if name not in VARIABLES:
            hint += f", or remove {other_half} to use the variables without {self._prefix}"
        elif name.startswith("AWS"):
            hint += f", or remove {other_half} to use boto3's own credentials, such as a role"
        near = self._missing_hint(self._base(name))
        self.report(name, f"is missing, but {other_half} is set", hint=near or hint)

    def _missing_hint(self, base: str) -> str:
        self._missing.add(base)
        every = lookalikes(self._strays, self._prefix)
        near = [near for near in every if near.base == base]
        best = max(near, key=lambda near: near.likeness, default=None)
        return f"{best.name} is set. {best.question}" if best else ""
