"""The variables of one source to its access to Lyve Cloud and to AWS."""

import re
from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from utils.config.environment import Variables, looks_like_key
from utils.config.lookalikes import ROLE
from utils.config.settings import AwsAccess, LyveAccess
from utils.wording import found

# https://docs.aws.amazon.com/general/latest/gr/rande.html
_AWS_REGION = re.compile(r"[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}")
_LYVE_REGION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
_ROLE_ARN = re.compile(r"arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}")
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9_+=,.@:/-]{2,1224}")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")

_DEFAULT_PORTS = {"http": 80, "https": 443}


def lyve_access(variables: Variables, buckets: Collection[str]) -> LyveAccess | None:
    """Returns the access to Lyve Cloud, or None if `variables` found a problem with it.

    Args:
        variables: those of the source.
        buckets: the names of all sources' buckets, none of which an endpoint may begin with.
    """
    access_key, secret_key = variables.pair("LYVE")
    region = _region(variables, "LYVE_REGION", _LYVE_REGION, "letters, digits and hyphens")
    endpoint_url = _endpoint_url(variables, region, buckets)
    if access_key and secret_key and region and endpoint_url:
        return LyveAccess(access_key, secret_key, region, endpoint_url)
    return None


def aws_access(variables: Variables) -> AwsAccess | None:
    """Returns the access to AWS, or None if `variables` found a problem with it."""
    chain = not variables.has_pair("AWS")
    access_key, secret_key = (None, None) if chain else variables.pair("AWS")
    region = _region(variables, "AWS_REGION", _AWS_REGION, "a region's code such as us-east-1")
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    is_temporary = bool(access_key) and str(access_key).startswith("ASIA")
    token = variables.session_token() if is_temporary else None
    is_whole = access_key and secret_key and (token or not is_temporary)
    role_arn, external_id = _role(variables)
    if region and (chain or is_whole):
        return AwsAccess(access_key, secret_key, region, token, role_arn, external_id)
    return None


def _role(variables: Variables) -> tuple[str | None, str | None]:
    """Returns the ARN of the role to assume and its external id, None for what is not set."""
    (arn_name, arn), (id_name, external_id) = (variables.get(name) for name in ROLE)
    allowed = "allowed: a role's ARN such as arn:aws:iam::123456789012:role/logscollector"
    if arn and variables.is_bare(arn_name, arn) and not _ROLE_ARN.fullmatch(arn):
        # Anything else may be a key by mistake, which must not be shown.
        what = f"is {found(arn)}" if arn.startswith("arn:") else "is not an ARN"
        variables.report(arn_name, what, allowed)
    if external_id and not arn:
        variables.report(ROLE[0], f"is missing, but {id_name} is set", hint=f"Set {ROLE[0]} too")
    elif external_id and not _EXTERNAL_ID.fullmatch(external_id):
        allowed = (
            "allowed: 2 to 1224 of the letters a to z and A to Z, the digits and _ + = , . @ : / -"
        )
        variables.report(id_name, "is no external id", allowed)
    return arn or None, external_id or None


def _region(variables: Variables, base: str, form: re.Pattern[str], allowed: str) -> str:
    name, value = variables.get(base)
    if not value:
        variables.report_missing(base)
    elif not variables.is_bare(name, value):
        return ""
    elif looks_like_key(value):
        variables.report(name, "looks like a key, so it is not shown", f"allowed: {allowed}")
    elif not form.fullmatch(value):
        variables.report(name, f"is {found(value)}", f"allowed: {allowed}")
    else:
        return value
    return ""


def _endpoint_url(variables: Variables, region: str, buckets: Collection[str]) -> str:
    name, value = variables.get("LYVE_ENDPOINT")
    if not value:
        return _normalised(f"https://s3.{region}.lyvecloud.seagate.com")
    if not variables.is_bare(name, value):
        return ""
    fault = _endpoint_fault(value, buckets)
    if not fault:
        return _normalised(value)
    # A password or a signature in it is a secret.
    hidden = looks_like_key(value) or re.search("[@?#]", value)
    what = "is not an endpoint" if hidden else f"is {found(value)}, which is not an endpoint"
    allowed = "allowed: https:// or http://, a host, and a port where it needs one"
    hint = "Write only what is like https://s3.example.com"
    variables.report(name, what, f"{fault}; {allowed}", hint)
    return ""


def _normalised(value: str) -> str:
    """Returns the one form of all that lead to the same server, so that two can be compared."""
    url = urlsplit(value)
    host = f"[{url.hostname}]" if "[" in url.netloc else url.hostname
    is_default = url.port in {None, _DEFAULT_PORTS[url.scheme]}
    return f"{url.scheme}://{host}" + ("" if is_default else f":{url.port}")


def _endpoint_fault(value: str, buckets: Collection[str]) -> str:
    try:
        url = urlsplit(value)
        fault = _url_fault(value, url) or ("its port is 0" if url.port == 0 else "")
    except ValueError:
        return "its host or its port is malformed"
    return fault or _bucket_fault(url, buckets)


def _url_fault(value: str, url: SplitResult) -> str:
    if url.scheme not in {"http", "https"}:
        return "it does not begin with https:// or http://"
    # Not in `netloc` alone: a password with a slash in it reaches into the path.
    if "@" in value:
        return "it has an @ in it, as before a host that stands behind a user name"
    if not url.hostname:
        return "it names no host"
    if not _HOST.fullmatch(url.hostname):
        return "the name of its host has characters that no host name has"
    if re.search(r"[?#\s]", value):
        return "it has white space, ? or # in it"
    return ""


def _bucket_fault(url: SplitResult, buckets: Collection[str]) -> str:
    """Tells where a bucket stands in it: what is for another one would land in that bucket."""
    if url.path not in {"", "/"}:
        return "it has a path"
    named = [bucket for bucket in buckets if f"{url.hostname}.".startswith(f"{bucket}.")]
    return f"its host begins with the name of the bucket {found(named[0])}" if named else ""
