"""The variables of one source to its access to Lyve Cloud and to AWS."""

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from utils.config.environment import LIKE_A_KEY, Form, Variables, looks_like_key
from utils.config.lookalikes import ROLE
from utils.config.settings import AwsAccess, LyveAccess
from utils.wording import did_you_mean, found

_FORMS = {
    "LYVE_REGION": Form(
        rf"(?!{LIKE_A_KEY}\Z)[A-Za-z0-9]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?",
        "letters, digits and hyphens",
    ),
    # https://docs.aws.amazon.com/general/latest/gr/rande.html
    "AWS_REGION": Form(
        r"[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}",
        "a region's code such as us-east-1",
    ),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
    ROLE[0]: Form(
        r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}",
        "a role's ARN such as arn:aws:iam::123456789012:role/logscollector",
    ),
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    ROLE[1]: Form(
        r"[A-Za-z0-9_+=,.@:/-]{2,1224}",
        "2 to 1224 of the letters a to z and A to Z, the digits and _ + = , . @ : / -",
        is_secret=True,
    ),
}
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def lyve_access(variables: Variables, buckets: Collection[str]) -> LyveAccess | None:
    """Returns the access to Lyve Cloud, or None if `variables` found a problem with it.

    Args:
        variables: those of the source.
        buckets: the names of all sources' buckets, none of which an endpoint may begin with.
    """
    access_key, secret_key = variables.pair("LYVE")
    region = variables.formed("LYVE_REGION", _FORMS["LYVE_REGION"], is_needed=True)
    name, value = variables.get("LYVE_ENDPOINT")
    if not value:
        value = f"https://s3.{region}.lyvecloud.seagate.com"
    elif not _is_endpoint(variables, name, value, buckets):
        return None
    if access_key and secret_key and region:
        return LyveAccess(access_key, secret_key, region, _normalised(value))
    return None


def aws_access(variables: Variables) -> AwsAccess | None:
    """Returns the access to AWS, or None if `variables` found a problem with it."""
    chain = not variables.has_pair("AWS")
    access_key, secret_key = (None, None) if chain else variables.pair("AWS")
    region = variables.formed("AWS_REGION", _FORMS["AWS_REGION"], is_needed=True)
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    is_temporary = bool(access_key) and str(access_key).startswith("ASIA")
    token = variables.session_token() if is_temporary else None
    is_whole = access_key and secret_key and (token or not is_temporary)
    role_arn, external_id = (variables.formed(base, _FORMS[base]) or None for base in ROLE)
    id_name, is_external = variables.get(ROLE[1])
    if is_external and not variables.get(ROLE[0])[1]:
        variables.report(ROLE[0], f"is missing, but {id_name} is set", hint=f"Set {ROLE[0]} too")
    if region and (chain or is_whole):
        return AwsAccess(access_key, secret_key, region, token, role_arn, external_id)
    return None


def _is_endpoint(variables: Variables, name: str, value: str, buckets: Collection[str]) -> bool:
    if not variables.is_bare(name, value):
        return False
    fault = _endpoint_fault(value, buckets)
    if fault:
        # A password or a signature in it is a secret.
        hidden = looks_like_key(value) or re.search("[@?#]", value)
        what = "is not an endpoint" if hidden else f"is {found(value)}, which is not an endpoint"
        allowed = "allowed: https:// or http://, a host, and a port where it needs one"
        hint = "Write it like https://s3.example.com"
        if not hidden and "://" not in value and not _endpoint_fault(f"https://{value}", buckets):
            hint = did_you_mean(f"https://{value}", [f"https://{value}"])
        variables.report(name, what, f"{fault}; {allowed}", hint)
    return not fault


def _normalised(value: str) -> str:
    """Returns the one form of all endpoints of one server, so that two can be compared."""
    url = urlsplit(value)
    host = f"[{url.hostname}]" if "[" in url.netloc else url.hostname
    is_default = url.port in {None, _DEFAULT_PORTS[url.scheme]}
    return f"{url.scheme}://{host}" + ("" if is_default else f":{url.port}")


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
