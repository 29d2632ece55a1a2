"""CloudFormation's template with its parameters put in, as far as the project's one needs it."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.servers.installation import AWS_REGION, REPOSITORY

PATH = REPOSITORY / "documentation" / "deploy" / "cloudformation.yaml"
ACCESS_PATH = PATH.with_name("cloudformation-access.yaml")
NOTHING = object()
PSEUDO = {
    "AWS::Region": AWS_REGION,
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::NoValue": NOTHING,
}


class _Loader(yaml.SafeLoader):
    """Reads the short forms, such as `!Ref`, as the long ones."""


def _long_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, object]:
    if isinstance(node, yaml.ScalarNode):
        value: object = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {tag: value}


_Loader.add_multi_constructor("!", _long_form)  # type: ignore[no-untyped-call]


def read(path: Path = PATH) -> dict[str, dict[str, dict[str, object]]]:
    """Returns the template as it is written."""
    template: dict[str, dict[str, dict[str, object]]] = yaml.load(
        path.read_text(),
        _Loader,  # noqa: S506 - of the safe kind
    )
    return template


def resources(kind: str, **parameters: str) -> dict[str, dict[str, object]]:
    """Returns the properties of each resource of a kind that a stack with the parameters has."""
    template = read()
    defaults = {name: str(one["Default"]) for name, one in template["Parameters"].items()}
    assert parameters.keys() <= defaults.keys()
    values = {**PSEUDO, **defaults, **parameters}
    made = _Made(template["Conditions"], values)
    found = {}
    for name, resource in template["Resources"].items():
        condition = resource.get("Condition")
        if resource["Type"] == kind and (condition is None or made.holds(str(condition))):
            properties = made.value(resource["Properties"])
            assert isinstance(properties, dict)
            found[name] = properties
    return found


class _Made:
    def __init__(self, conditions: Mapping[str, object], values: Mapping[str, object]) -> None:
        self._conditions = conditions
        self._values = values

    def holds(self, condition: str) -> bool:
        return bool(self.value(self._conditions[condition]))

    def value(self, written: object) -> object:
        if isinstance(written, list):
            return [one for one in map(self.value, written) if one is not NOTHING]
        if not isinstance(written, dict):
            return written
        if len(written) == 1:
            ((tag, inner),) = written.items()
            function = getattr(self, f"_{tag.lower()}", None) if tag[:1].isupper() else None
            if function and tag in {"Ref", "Sub", "Select", "Split", "Join", "If", "Equals", "Not"}:
                return function(inner)
        made = {name: self.value(one) for name, one in written.items()}
        return {name: one for name, one in made.items() if one is not NOTHING}

    def _ref(self, name: str) -> object:
        return self._values.get(name, f"<{name}>")

    def _sub(self, written: object) -> str:
        text, own = written if isinstance(written, list) else (written, {})
        values = {**self._values, **{name: self.value(one) for name, one in own.items()}}
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(values[found[1]]), str(text))

    def _select(self, written: list[object]) -> object:
        number, items = self.value(written[0]), self.value(written[1])
        assert isinstance(items, list)
        return items[int(str(number))]

    def _split(self, written: list[object]) -> list[str]:
        return str(self.value(written[1])).split(str(written[0]))

    def _join(self, written: list[object]) -> str:
        items = self.value(written[1])
        assert isinstance(items, list)
        return str(written[0]).join(map(str, items))

    def _if(self, written: list[object]) -> object:
        return self.value(written[1] if self.holds(str(written[0])) else written[2])

    def _equals(self, written: list[object]) -> bool:
        return self.value(written[0]) == self.value(written[1])

    def _not(self, written: list[object]) -> bool:
        return not self.value(written[0])
