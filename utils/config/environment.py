"""The environment as one source sees it: its own variables first, then the plain ones."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from utils.config.partitions import PARTITIONS, Shard, parse_shard
from utils.config.settings import AwsAccess, LyveAccess
from utils.errors import ForwarderError
from utils.wording import did_you_mean, found, suggestion

# --- Their names, and what they may hold ----------------------------------------------------------

SECRETS = ("LYVE_ACCESS", "LYVE_SECRET", "AWS_ACCESS", "AWS_SECRET")
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a variable
_ROLE, _EXTERNAL_ID = "AWS_ASSUME_ROLE_ARN", "AWS_ASSUME_ROLE_EXTERNAL_ID"
LOG_FORMAT = "LOG_FORMAT"
TEXT, JSON = "text", "json"
# A key in place of another value must not be shown. A path begins with a slash.
_LIKE_A_KEY = r"[A-Za-z0-9+=][A-Za-z0-9/+=]{15,}"


class Form(NamedTuple):
    """What a variable may hold, as a pattern and in words, and what is said of anything else."""

    pattern: str
    words: str
    otherwise: str = "is {value}"
    hint: str = ""


# Visible ASCII, because an access key goes into a request's header.
_KEY = Form(
    r"[!-~]+",
    "it has white space or foreign letters in it",
    "does not hold a key",
    "Copy the key again",
)
_FORMS = {
    **dict.fromkeys((*SECRETS, SESSION_TOKEN), _KEY),
    "LYVE_REGION": Form(
        rf"(?!{_LIKE_A_KEY}\Z)[A-Za-z0-9]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?",
        "allowed: letters, digits and hyphens",
    ),
    # https://docs.aws.amazon.com/general/latest/gr/rande.html
    "AWS_REGION": Form(
        r"[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}",
        "allowed: a region's code such as us-east-1",
    ),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
    _ROLE: Form(
        r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}",
        "allowed: a role's ARN such as arn:aws:iam::123456789012:role/logscollector",
    ),
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    _EXTERNAL_ID: Form(
        r"[A-Za-z0-9_+=,.@:/-]{2,1224}",
        "allowed: 2 to 1224 of the letters a to z and A to Z, the digits and _ + = , . @ : / -",
        "has another form",
    ),
}
# Those that a source can have for itself.
VARIABLES = (*_FORMS, *(f"{secret}_FILE" for secret in SECRETS), "LYVE_ENDPOINT")


def prefix_of(source: str) -> str:
    """Returns what a source's own variables begin with; nothing for a source without a name."""
    return re.sub(r"[^A-Z0-9]", "_", source.upper()) + "_" if source else ""


def unread(values: Mapping[str, str], prefixes: Collection[str]) -> list[str]:
    """Returns the names of the variables that are set and that no source reads.

    Args:
        values: the environment.
        prefixes: what the variables of each source begin with.
    """
    read = {prefix + known for prefix in ("", *prefixes) for known in VARIABLES}
    return [name for name, value in values.items() if value.strip() and name not in read]


# --- Those of one source --------------------------------------------------------------------------

# Docker keeps those of an --env-file as part of the value.
_MARKS = ("'", '"')
# In the place of a path a key may begin with a slash as well: letters as in base64; or, as names of
# files have `-` and `_` too, with capitals and digits.
_LIKE_A_KEY_OR_A_PATH = (
    r"[A-Za-z0-9/+=]{16,}|(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])/[A-Za-z0-9/+=_-]{15,}"
)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Variables:
    """Reads the variables of one source, and collects what is wrong with them in `problems`.

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
        self._lookalikes = [*_lookalikes(strays, self._prefix)]
        self._missing: set[str] = set()
        self.problems: list[ForwarderError] = []

    def lyve(self, buckets: Collection[str]) -> LyveAccess | None:
        """Returns the access to Lyve Cloud, or None if there is a problem with it.

        Args:
            buckets: the names of all sources' buckets, none of which an endpoint may begin with.
        """
        access_key, secret_key = (self._secret(*names) for names in self._pair("LYVE"))
        region = self._needed("LYVE_REGION")
        endpoint_url = self._endpoint(region, buckets)
        if access_key and secret_key and region and endpoint_url:
            return LyveAccess(access_key, secret_key, region, endpoint_url)
        return None

    def aws(self) -> AwsAccess | None:
        """Returns the access to AWS, or None if there is a problem with it."""
        names = self._pair("AWS")
        is_given = any(self._is_set(name) for name, _ in names)
        access_key, secret_key = (self._secret(*pair) if is_given else None for pair in names)
        region = self._needed("AWS_REGION")
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
        is_temporary = bool(access_key) and str(access_key).startswith("ASIA")
        token = self._session_token(names[0][0]) if is_temporary else None
        role_arn, external_id = (self._checked(*self._get(base)) for base in (_ROLE, _EXTERNAL_ID))
        id_name, is_external = self._get(_EXTERNAL_ID)
        if is_external and not self._get(_ROLE)[1]:
            self._miss(_ROLE, f"is missing, but {id_name} is set", f"Set {_ROLE} too")
        is_whole = access_key and secret_key and (token or not is_temporary)
        if region and (is_whole or not is_given):
            role = (role_arn or None, external_id or None)
            return AwsAccess(access_key, secret_key, region, token, *role)
        return None

    def report_slips(self) -> None:
        """Adds each variable that is a slip away from one that this source lacks."""
        for near in self._lookalikes:
            read = (near.meant.removesuffix("_FILE"), self._prefix + near.base)
            lacking = near.base not in self._missing and not any(map(self._is_set, read))
            if lacking and near.likeness >= _SLIP[near.base[:4]]:
                what = "is set, but it is not a known variable"
                self._report(near.name, what, hint=near.question)

    def _value(self, name: str) -> str:
        return self._values.get(name, "").strip()

    def _is_set(self, name: str) -> bool:
        return bool(self._value(name) or (name.endswith(SECRETS) and self._value(f"{name}_FILE")))

    def _get(self, base: str) -> tuple[str, str]:
        """Returns the name and the value of a variable, which is empty if it is missing."""
        name = self._prefix + base if self._is_set(self._prefix + base) else base
        return name, self._value(name)

    def _needed(self, base: str) -> str:
        name, value = self._get(base)
        if not value:
            self._miss_both(base)
        return self._checked(name, value)

    def _pair(self, kind: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """Returns the names of the access key and the secret key, each with its other half.

        A pair is taken as a whole: half of each of two tenants would be no credential.
        """
        access, secret = f"{kind}_ACCESS", f"{kind}_SECRET"
        own = self._prefix + access, self._prefix + secret
        access, secret = own if any(map(self._is_set, own)) else (access, secret)
        return (access, secret), (secret, access)

    def _secret(self, name: str, other_half: str) -> str:
        value, path = self._value(name), self._value(f"{name}_FILE")
        if value and path:
            self._report(name, f"and {name}_FILE are both set", hint="Keep one of them")
            return ""
        if path:
            value = self._content(f"{name}_FILE", path)
        elif not value and not self._is_set(other_half):
            self._miss_both(self._base(name))
        elif not value:
            hint = f"Set {name} as well"
            if name not in VARIABLES:
                hint += f", or remove {other_half} to use the variables without {self._prefix}"
            elif name.startswith("AWS"):
                hint += f", or remove {other_half} to use boto3's own credentials, such as a role"
            self._miss(name, f"is missing, but {other_half} is set", hint)
        return self._checked(name, value)

    def _session_token(self, access: str) -> str:
        """Returns the token of the temporary key in `access`, empty if it is wrong."""
        name = access.replace("AWS_ACCESS", SESSION_TOKEN)
        token = self._value(name)
        if not token:
            what = f"is missing, but {access} holds a temporary key, which begins with ASIA"
            hint = f"Set {name} too, or use a lasting key: a temporary one ends within hours"
            self._miss(name, what, hint)
        return self._checked(name, token)

    def _content(self, name: str, path: str) -> str:
        """Returns what the file holds that a variable names, empty if it can't be used."""
        if not self._is_bare(name, path):
            return ""
        try:
            text = self._read_file(path).strip()
            reason = "" if text else "it is empty"
        except OSError as exc:
            text, reason = "", exc.strerror or type(exc).__name__
        except ValueError:
            text, reason = "", "it is not a text file"
        if reason:
            is_key = re.fullmatch(_LIKE_A_KEY_OR_A_PATH, path) and not self._has_folder(path)
            shown = "it looks like a key and is not shown" if is_key else found(path)
            hint = "Check the path, and that this process may read the file"
            self._report(name, f"names a file that can't be used: {shown}", reason, hint)
        return text

    def _has_folder(self, path: str) -> bool:
        """Tells if a path leads into a folder that is there: who mistypes one has that right."""
        try:
            self._read_file(path.rpartition("/")[0] or path)
        except IsADirectoryError:
            return True
        except (OSError, ValueError):
            return False
        return False

    def _checked(self, name: str, value: str) -> str:
        """Returns the value if it has the form of the variable; else the problem is added."""
        base = self._base(name)
        form = _FORMS[base]
        if not value or not self._is_bare(name, value):
            return ""
        if re.fullmatch(form.pattern, value):
            return value
        what, hint = form.otherwise.format(value=found(value)), form.hint
        tidy = value.lower().replace("_", "-")
        if form is not _KEY and re.fullmatch(_LIKE_A_KEY, value):
            what = "looks like a key, so it is not shown"
        elif base.endswith("_REGION") and re.fullmatch(form.pattern, tidy):
            hint = suggestion(found(tidy))
        self._report(name, what, form.words, hint)
        return ""

    def _is_bare(self, name: str, value: str) -> bool:
        """Tells if a value stands without quotation marks; else the problem is added."""
        is_bare = value[:1] not in _MARKS and value[-1:] not in _MARKS
        if not is_bare:
            hint = "Leave them out: an env file takes them as part of the value"
            self._report(name, "has quotation marks around it", hint=hint)
        return is_bare

    def _endpoint(self, region: str, buckets: Collection[str]) -> str:
        """Returns the one form of all endpoints of one server, so that two can be compared."""
        name, value = self._get("LYVE_ENDPOINT")
        if not value:
            return f"https://s3.{region}.lyvecloud.seagate.com"
        if not self._is_bare(name, value):
            return ""
        fault = _endpoint_fault(value, buckets)
        if not fault:
            url = urlsplit(value)
            host = f"[{url.hostname}]" if "[" in url.netloc else url.hostname
            is_default = url.port in {None, _DEFAULT_PORTS[url.scheme]}
            return f"{url.scheme}://{host}" + ("" if is_default else f":{url.port}")
        # A password or a signature in it is a secret.
        hidden = re.fullmatch(_LIKE_A_KEY, value) or re.search("[@?#]", value)
        what = "is not an endpoint" if hidden else f"is {found(value)}, which is not an endpoint"
        allowed = "allowed: https:// or http://, a host, and a port where it needs one"
        hint = "Write it like https://s3.example.com"
        if not hidden and "://" not in value and not _endpoint_fault(f"https://{value}", buckets):
            hint = suggestion(found(f"https://{value}"))
        self._report(name, what, f"{fault}; {allowed}", hint)
        return ""

    def _base(self, name: str) -> str:
        return name if name in VARIABLES else name.removeprefix(self._prefix)

    def _report(self, name: str, what: str, detail: str = "", hint: str = "") -> None:
        """Adds a problem; `what` continues the sentence that begins with the variable's name."""
        own = self._base(name) != name
        where = f'environment: source "{self._source}"' if own else "environment"
        self.problems.append(ForwarderError(f"{where}: {name} {what}", detail, hint))

    def _miss_both(self, base: str) -> None:
        """Adds that a variable is set neither for this source nor for all."""
        what = f"is missing, and so is {base}" if self._prefix else "is missing"
        file = f", or {base}_FILE to the path of a file that holds it" if base in SECRETS else ""
        self._miss(self._prefix + base, what, f"Set {base}{file}")

    def _miss(self, name: str, what: str, hint: str) -> None:
        """Adds that a variable is missing, with the one that was perhaps meant."""
        base = self._base(name)
        self._missing.add(base)
        nearest = max((one for one in self._lookalikes if one.base == base), default=None)
        if nearest:
            hint = f"{nearest.name} is set. {nearest.question}"
        self._report(name, what, hint=hint)


def process_variables(values: Mapping[str, str]) -> tuple[Shard | None, list[ForwarderError]]:
    """Returns which replica this is, if it is one, and what is wrong with what all sources share.

    Args:
        values: the environment.
    """
    problems = []
    form, written = values.get(LOG_FORMAT, ""), values.get("SHARD", "").strip()
    if form not in {"", TEXT, JSON}:
        what, allowed = f"environment: {LOG_FORMAT} is {found(form)}", f'"{TEXT}", "{JSON}"'
        problems.append(
            ForwarderError(what, f"allowed: {allowed}", did_you_mean(form, (TEXT, JSON)))
        )
    shard = parse_shard(written)
    if written and (shard is None or shard.count > PARTITIONS):
        allowed = f"allowed: i/N with i from 1 to N, and N at most {PARTITIONS}, such as 1/3"
        hint = "For more replicas split the source: into several audit buckets, each a source"
        what = f"environment: SHARD is {found(written)}"
        problems.append(ForwarderError(what, allowed, hint if shard else ""))
    return shard, problems


def is_json(values: Mapping[str, str]) -> bool:
    """Tells if a line on standard error is a JSON object; it is text for people otherwise."""
    return values.get(LOG_FORMAT) == JSON


def _endpoint_fault(value: str, buckets: Collection[str]) -> str:
    """Returns what is wrong with an endpoint, or nothing."""
    try:
        url = urlsplit(value)
        host, port = url.hostname or "", url.port
    except ValueError:
        return "its host or its port is malformed"
    # Whatever bucket is meant, everything would land in the one that the endpoint names.
    named = next((one for one in buckets if f"{host}.".startswith(f"{one}.")), None)
    faults = {
        "it does not begin with https:// or http://": url.scheme not in _DEFAULT_PORTS,
        # Not only in `netloc`: a password with a slash in it reaches into the path.
        "it has an @ in it, as behind a user name": "@" in value,
        "it names no host": not host,
        "the name of its host has characters that no host name has": not _HOST.fullmatch(host),
        "it has white space, ? or # in it": re.search(r"[?#\s]", value),
        "its port is 0": port == 0,
        "it has a path": url.path not in {"", "/"},
        f"its host begins with the name of the bucket {found(named)}": named,
    }
    return next((words for words, is_so in faults.items() if is_so), "")


# --- What was perhaps meant -----------------------------------------------------------------------

# How much a variable that nobody reads has to resemble a missing one, from 0 to 1: for a hint, such
# as a longer form (AWS_SECRET_ACCESS_KEY), and to be called a slip. Variables for AWS may be
# another program's.
_NEAR = 0.66
_LONGER = 0.79
_SLIP = {"LYVE": 0.8, "AWS_": 0.9}
# In a shorter word, such as EU or TEAM_A, another letter is another tenant.
_SHORTEST_WORD = 4


class Lookalike(NamedTuple):
    """A variable that nobody reads, and the one that was perhaps meant.

    `meant` is the whole name, and `base` the known variable, whether it names a file or not.
    """

    likeness: float
    name: str
    meant: str
    base: str

    @property
    def question(self) -> str:
        """A hint for an error."""
        return f"Did you mean {self.meant}? Then rename it"


def _lookalikes(names: Iterable[str], prefix: str) -> Iterator[Lookalike]:
    """Yields those of the names that resemble a variable of a source, each with the nearest one."""
    for name in names:
        nearest = max(_resembled(name, prefix), default=None)
        if nearest and nearest.likeness >= _NEAR:
            yield nearest


def _resembled(name: str, prefix: str) -> Iterator[Lookalike]:
    upper = name.upper()
    for known in VARIABLES:
        base = known.removesuffix("_FILE")
        if upper.endswith(f"_{known}") and _is_slip(name[: -len(known)], prefix):
            yield Lookalike(1, name, prefix + known, base)
        for own in (prefix, "") if not name.endswith(VARIABLES) else ():
            rest = upper.removeprefix(own)
            # Slips at the first letter are rare, and another source's prefix would look like one.
            if upper.startswith(own) and rest[:1] == known[0]:
                yield Lookalike(_likeness(rest, known), name, own + known, base)


def _is_slip(written: str, prefix: str) -> bool:
    """Tells if two prefixes differ only in case, in what separates words, or by a typo."""
    found, meant = (re.findall(r"[A-Z0-9]+", one.upper()) for one in (written, prefix))
    if "".join(found) == "".join(meant):
        return bool(meant)
    different = [pair for pair in zip(found, meant, strict=False) if pair[0] != pair[1]]
    return len(found) == len(meant) and len(different) == 1 and _is_typo(*different[0])


def _is_typo(word: str, meant: str) -> bool:
    """Tells if one letter is wrong, missing or extra, or two letters have changed places."""
    changes = SequenceMatcher(None, word, meant, autojunk=False).get_opcodes()
    changed = [word[a:b] + meant[c:d] for tag, a, b, c, d in changes if tag != "equal"]
    letters = "".join(changed)
    is_small = len(letters) <= 2 and abs(len(word) - len(meant)) <= 1  # noqa: PLR2004 - a pair
    is_one = len(changed) == 1 or sorted(word) == sorted(meant)
    # Numbers tell tenants apart.
    return is_small and is_one and letters.isalpha() and len(meant) >= _SHORTEST_WORD


@lru_cache(maxsize=4096)  # every source compares the same plain names
def _likeness(name: str, known: str) -> float:
    ratio = SequenceMatcher(None, name, known).ratio()
    return max(ratio, _LONGER) if name.startswith(f"{known}_") else ratio
