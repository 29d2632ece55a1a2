"""The files for Compose, Swarm, Kubernetes and ECS, by their schemas and by the program."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

from tests.servers.installation import REPOSITORY
from utils.config.environment import LOG_FORMAT, SECRETS, VARIABLES
from utils.config.partitions import Shard, parse_shard
from utils.version import VERSION

Document = dict[str, object]

DIRECTORY = REPOSITORY / "documentation" / "deploy"
SWARM = DIRECTORY / "swarm.yml"
KUBERNETES = DIRECTORY / "kubernetes.yaml"
KUBERNETES_VERIFY = DIRECTORY / "kubernetes-verify.yaml"
ECS = DIRECTORY / "ecs-task-definition.json"
FILES = (SWARM, KUBERNETES, KUBERNETES_VERIFY, ECS)
COMPOSE = REPOSITORY / "documentation" / "compose.yaml"
DEPLOY = REPOSITORY / "documentation" / "deploy.md"
IMAGE = REPOSITORY / "documentation" / "image.md"
# The oldest one of which the file says that it suits, and the newest one that there is a schema of.
KUBERNETES_VERSIONS = ("1.28", kubernetes_validate.latest_version())
KNOWN = {*VARIABLES, "SHARD", LOG_FORMAT}
# What the orchestrator itself needs.
HELPERS = {"POD_INDEX"}
HEALTH_CHECK = ["python", "-m", "services.daemon.health_check"]
USER = 65532
MIB = 1024 * 1024


def at(document: object, *path: str | int) -> object:
    """Returns what stands at a place of a document."""
    for step in path:
        document = cast("Mapping[str | int, object]", document)[step]
    return document


def kubernetes() -> dict[str, Document]:
    """Returns the documents of the file by their kinds."""
    documents = [cast("Document", one) for one in yaml.safe_load_all(KUBERNETES.read_text())]
    return {str(one["kind"]): one for one in documents}


def pods() -> dict[str, object]:
    """Returns what each kind runs."""
    found = kubernetes()
    cron = ("spec", "jobTemplate", "spec", "template", "spec")
    return {
        "StatefulSet": at(found["StatefulSet"], "spec", "template", "spec"),
        "CronJob": at(found["CronJob"], *cron),
    }


def environment_of_pod(pod: object) -> dict[str, str]:
    listed = at(pod, "containers", 0, "env")
    assert isinstance(listed, list)
    return {one["name"]: one.get("value", "") for one in listed}


def swarm_service() -> Mapping[str, object]:
    return cast("Document", at(yaml.safe_load(SWARM.read_text()), "services", "logscollector"))


def compose_service() -> Mapping[str, object]:
    return cast("Document", at(yaml.safe_load(COMPOSE.read_text()), "services", "logscollector"))


def task_definition() -> Document:
    return cast("Document", json.loads(ECS.read_text()))


def ecs_container() -> Mapping[str, object]:
    return cast("Document", at(task_definition(), "containerDefinitions", 0))


def named(listed: object) -> dict[str, str]:
    """Returns ECS's pairs of a name and a value or where it comes from."""
    assert isinstance(listed, list)
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in listed}


def environments() -> dict[str, dict[str, str]]:
    """Returns the variables that each form gives to the program."""
    container = ecs_container()
    swarm = cast("dict[str, str]", swarm_service()["environment"])
    ecs = named(container["environment"]) | named(container["secrets"])
    return {
        "swarm": swarm,
        "ecs": ecs,
        **{kind: environment_of_pod(pod) for kind, pod in pods().items()},
    }


# Each by its schema.


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("kind", ["ConfigMap", "Service", "StatefulSet", "CronJob"])
def test_kubernetes_has_every_field(kind: str, version: str) -> None:
    kubernetes_validate.validate(kubernetes()[kind], version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_the_nightly_proof_is_the_hourly_pod_with_another_command(version: str) -> None:
    document = cast("Document", yaml.safe_load(KUBERNETES_VERIFY.read_text()))
    kubernetes_validate.validate(document, version, strict=True)
    pod = at(document, "spec", "jobTemplate", "spec", "template", "spec")
    hourly = pods()["CronJob"]
    for name in ("securityContext", "volumes"):
        assert at(pod, name) == at(hourly, name)
    for name in ("image", "env", "resources", "securityContext", "volumeMounts"):
        assert at(pod, "containers", 0, name) == at(hourly, "containers", 0, name)
    (line,) = cast("list[str]", at(pod, "containers", 0, "args"))
    day = subprocess.run(
        ["sh", "-c", line.replace("exec python engine.py", "echo")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert re.fullmatch(r"--verify --from \d\d/\d\d/\d{4}\n", day)


def test_the_schema_of_kubernetes_finds_a_slip() -> None:
    """This shows that it looks at all depths."""
    slipped = KUBERNETES.read_text().replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")
    for document in yaml.safe_load_all(slipped):
        if document["kind"] in pods():
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(document, KUBERNETES_VERSIONS[0], strict=True)


def ecs_input() -> Shape:
    model = ServiceModel(Loader().load_service_model("ecs", "service-2"))
    shape = model.operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    return shape


def problems_of_ecs(definition: Document) -> str:
    return str(ParamValidator().validate(definition, ecs_input()).generate_report())


def test_the_task_definition_is_one_that_ecs_registers() -> None:
    assert problems_of_ecs(task_definition()) == ""
    assert list(words_outside_of_enums(task_definition(), ecs_input())) == []


def test_the_model_of_ecs_finds_a_slip() -> None:
    """This shows that it looks at all depths."""
    slipped = json.loads(ECS.read_text().replace("startPeriod", "startperiod"))
    assert "startperiod" in problems_of_ecs(slipped)
    slipped = json.loads(ECS.read_text().replace('"awslogs"', '"awslog"'))
    assert list(words_outside_of_enums(slipped, ecs_input())) == ["awslog"]


def words_outside_of_enums(value: object, shape: Shape) -> Iterator[str]:
    """Yields what is not among the words that the service's model allows in its place."""
    match value, shape:
        case dict(), StructureShape(members=members):
            for name, part in value.items():
                yield from words_outside_of_enums(part, members[name])
        case dict(), MapShape(value=inner):
            for part in value.values():
                yield from words_outside_of_enums(part, inner)
        case list(), ListShape(member=inner):
            for part in value:
                yield from words_outside_of_enums(part, inner)
        case str(), StringShape(enum=words) if words and value not in words:
            yield value


# Each by the program.


@pytest.mark.parametrize("form", environments())
def test_the_program_knows_every_variable(form: str) -> None:
    assert set(environments()[form]) - KNOWN - HELPERS == set()


@pytest.mark.parametrize("form", environments())
def test_every_variable_that_the_program_needs_is_there(form: str) -> None:
    names = {name.removesuffix("_FILE") for name in environments()[form]}
    # A task of ECS has a role.
    needed = {"LYVE_ACCESS", "LYVE_SECRET", "LYVE_REGION", "AWS_REGION"}
    assert needed <= names
    assert {"AWS_ACCESS", "AWS_SECRET"} <= names or form == "ecs"
    assert ("SHARD" in names) == (form != "CronJob")


def test_the_shards_are_those_of_the_replicas() -> None:
    replicas = at(swarm_service(), "deploy", "replicas")
    assert isinstance(replicas, int)
    swarm = environments()["swarm"]["SHARD"]
    slots = [swarm.replace("{{.Task.Slot}}", str(slot)) for slot in range(1, replicas + 1)]
    stateful = at(kubernetes()["StatefulSet"], "spec")
    pod_replicas, first = at(stateful, "replicas"), at(stateful, "ordinals", "start")
    assert isinstance(pod_replicas, int)
    assert isinstance(first, int)
    indices = range(first, first + pod_replicas)
    pod = environments()["StatefulSet"]["SHARD"]
    pods_shards = [pod.replace("$(POD_INDEX)", str(index)) for index in indices]
    three = [Shard(number, 3) for number in (1, 2, 3)]
    assert [parse_shard(text) for text in slots] == three
    assert [parse_shard(text) for text in pods_shards] == three
    assert parse_shard(environments()["ecs"]["SHARD"]) == three[0]


def test_a_pod_knows_its_index_before_its_shard() -> None:
    """Kubernetes puts in only what stands above."""
    listed = at(pods()["StatefulSet"], "containers", 0, "env")
    assert isinstance(listed, list)
    names = [one["name"] for one in listed]
    assert names.index("POD_INDEX") < names.index("SHARD")
    label = "metadata.labels['apps.kubernetes.io/pod-index']"
    assert at(listed[names.index("POD_INDEX")], "valueFrom", "fieldRef", "fieldPath") == label


def test_the_files_of_secrets_are_mounted_where_the_variables_say() -> None:
    swarm = environments()["swarm"]
    for one in cast("list[Mapping[str, object]]", swarm_service()["secrets"]):
        assert f"/run/secrets/{one['source']}" in swarm.values()
        assert (one["uid"], one["mode"]) == (str(USER), 0o400)
    for kind, pod in pods().items():
        mounts = cast("list[Document]", at(pod, "containers", 0, "volumeMounts"))
        paths = {one["name"]: one["mountPath"] for one in mounts}
        files = {name: environments()[kind][f"{name}_FILE"] for name in SECRETS}
        assert files == {name: f"{paths['secrets']}/{name.lower()}" for name in SECRETS}
        assert paths["config"] == "/app/config.json"


def test_the_image_has_the_version_of_the_program() -> None:
    images = [str(at(pod, "containers", 0, "image")) for pod in pods().values()]
    images.append(str(ecs_container()["image"]))
    tags = [*re.findall(r"/logscollector:([\d.]+)", DEPLOY.read_text())]
    assert {image.rpartition("/logscollector:")[2] for image in images} | {*tags} == {VERSION}
    assert swarm_service()["image"] == "logscollector"
    assert compose_service()["image"] == f"logscollector:${{LOGSCOLLECTOR_VERSION:-{VERSION}}}"


def test_no_file_holds_a_secret() -> None:
    """Each names where it is kept."""
    for form, variables in environments().items():
        for name in SECRETS:
            value = variables.get(name, "arn:aws:ssm:")
            assert value.startswith("arn:aws:ssm:"), form
    assert "Secret" not in kubernetes()
    external = cast("Mapping[str, Document]", at(yaml.safe_load(SWARM.read_text()), "secrets"))
    assert {name: one["external"] for name, one in external.items()} == dict.fromkeys(
        [name.lower() for name in SECRETS], True
    )
    for file in FILES:
        assert not re.search(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|[A-Za-z0-9/+]{40}", without_paths(file))


def without_paths(file: Path) -> str:
    """Returns the text without what is long and no key."""
    return re.sub(r"[\w<>.:-]*(/[\w<>.-]+)+", "", file.read_text())


def test_the_configuration_is_that_of_the_repository() -> None:
    built_in = json.loads((REPOSITORY / "config.json").read_text())
    assert json.loads(str(at(kubernetes()["ConfigMap"], "data", "config.json"))) == built_in
    file = at(yaml.safe_load(SWARM.read_text()), "configs", "config", "file")
    assert (DIRECTORY / str(file)).resolve() == REPOSITORY / "config.json"


@pytest.mark.parametrize("kind", pods())
def test_a_pod_may_do_no_more_than_it_needs(kind: str) -> None:
    pod = pods()[kind]
    container = at(pod, "containers", 0)
    assert at(pod, "automountServiceAccountToken") is False
    assert at(pod, "securityContext") == {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert at(container, "securityContext") == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert at(container, "resources", "limits") == {"cpu": "1", "memory": "256Mi"}
    for probe in ("startupProbe", "livenessProbe"):
        assert at(container, probe, "exec", "command") == HEALTH_CHECK


def test_the_pods_of_both_kinds_differ_in_nothing_else() -> None:
    """The CronJob runs one iteration, and needs no number."""
    stateful, cron = (cast("Document", pods()[kind]) for kind in ("StatefulSet", "CronJob"))
    assert cron.pop("restartPolicy") == "Never"
    one, other = (cast("list[Document]", pod.pop("containers")) for pod in (stateful, cron))
    assert stateful == cron
    assert other[0].pop("args") == ["--once"]
    assert one[0].pop("readinessProbe") == one[0]["livenessProbe"]
    variables = [cast("list[Document]", containers[0].pop("env")) for containers in (one, other)]
    assert one == other
    assert [entry for entry in variables[0] if entry["name"] not in {"POD_INDEX", "SHARD"}] == (
        variables[1]
    )


def test_the_cron_job_runs_at_each_round_hour_and_not_beside_the_daemon() -> None:
    spec = at(kubernetes()["CronJob"], "spec")
    assert at(spec, "schedule") == "0 * * * *"
    assert at(spec, "timeZone") == "Etc/UTC"
    assert at(spec, "concurrencyPolicy") == "Forbid"
    assert at(spec, "suspend") is True


def test_a_service_of_swarm_may_do_no_more_than_it_needs() -> None:
    """The user is the image's."""
    service = swarm_service()
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert at(service, "deploy", "resources", "limits") == {"cpus": "1", "memory": "256M"}


def test_an_update_on_swarm_goes_back_once_a_replica_fails() -> None:
    together = {"order": "stop-first", "parallelism": 0}
    deploy = cast("Document", swarm_service()["deploy"])
    assert deploy["rollback_config"] == together
    assert deploy["update_config"] == {**together, "failure_action": "rollback", "monitor": "2m"}
    # The image's health check takes up to 90 seconds to say so.
    check = re.findall(r"HEALTHCHECK (.*) \\", (REPOSITORY / "Dockerfile").read_text())
    assert check == ["--interval=30s --timeout=10s --start-period=30s --retries=2"]
    assert [*updates(DEPLOY, "docker service")] == [
        "docker service update --with-registry-auth --image <registry>/logscollector:<version>"
        " logscollector_logscollector",
        "docker service rollback logscollector_logscollector",
    ]


def test_an_update_on_kubernetes_waits_for_each_pod_and_can_be_undone() -> None:
    stateful = kubernetes()["StatefulSet"]
    name = f"statefulset/{at(stateful, 'metadata', 'name')}"
    container = at(stateful, "spec", "template", "spec", "containers", 0, "name")
    assert at(stateful, "spec", "updateStrategy") == {"type": "RollingUpdate"}
    # A pod that does not start would otherwise have to be deleted before an undo:
    # https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    assert at(stateful, "spec", "podManagementPolicy") == "Parallel"
    assert at(stateful, "spec", "minReadySeconds") == 60
    update, back = updates(DEPLOY, f"kubectl (?:set image|rollout undo) {name}")
    assert f"set image {name} {container}=<registry>/logscollector:<version> &&" in update
    assert back == f"kubectl rollout undo {name}"
    assert back in update


def test_an_update_with_compose_keeps_the_image_to_go_back_to() -> None:
    assert "healthcheck" not in compose_service(), "the image has its own"
    up = "docker compose -f documentation/compose.yaml up -d"
    assert [*updates(IMAGE, rf"(?:LOGSCOLLECTOR_VERSION=\S+ )?{up} ")] == [
        f"{up} --build --wait",
        f"LOGSCOLLECTOR_VERSION=<version> {up} --no-build --wait",
    ]
    assert f"# {up} --build --wait\n" in COMPOSE.read_text()


def updates(document: Path, beginning: str) -> Iterator[str]:
    """Yields the commands of a document that begin so and update, or go back."""
    for line in re.findall(rf"^{beginning}.*$", document.read_text(), re.MULTILINE):
        if re.search("update|rollback|set image|undo|wait", line):
            yield line


def test_a_task_of_ecs_may_do_no_more_than_it_needs() -> None:
    container = ecs_container()
    assert container["user"] == f"{USER}:{USER}"
    assert container["readonlyRootFilesystem"] is True
    assert container["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}}
    assert at(container, "healthCheck", "command") == ["CMD", *HEALTH_CHECK]


@pytest.mark.parametrize("word", ["stop_grace_period: ", "PeriodSeconds: ", 'stopTimeout": '])
def test_there_is_more_time_to_end_than_the_daemon_takes(word: str) -> None:
    """It ends within ten seconds."""
    seconds = [
        int(found) for file in FILES for found in re.findall(rf"{word}(\d+)", file.read_text())
    ]
    assert seconds
    assert min(seconds) > 10


# Their document.


def blocks() -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```$", DEPLOY.read_text(), re.MULTILINE | re.DOTALL)


def test_the_document_makes_the_secrets_that_the_files_name() -> None:
    text = DEPLOY.read_text()
    names = [name.lower() for name in SECRETS]
    made = re.findall(r'printf %s "\$(\w+)" \| docker secret create (\w+) -', text)
    assert made == list(zip(SECRETS, names, strict=True))
    literals = re.findall(r'--from-literal=(\w+)="\$(\w+)"', text)
    assert literals == list(zip(names, SECRETS, strict=True))
    parameters = re.findall(r'--name (\S+) --type SecureString --value "\$(\w+)"', text)
    secrets = named(ecs_container()["secrets"])
    assert {name: secrets[name].rpartition(":parameter")[2] for _, name in parameters} == {
        name: path for path, name in parameters
    }
    assert len(secrets) == len(parameters)


def test_the_registry_is_put_in_everywhere() -> None:
    (command,) = (line for line in "".join(blocks()).splitlines() if line.startswith("sed"))
    printed = run(f"kubectl() {{ cat; }}; {command}", REPOSITORY)
    assert "image: registry.example.com/logscollector:" in printed
    assert not re.search(r"<\w+>", printed.replace("sed 's|<registry>|", ""))


def test_each_replica_on_ecs_is_a_service_with_one_task(tmp_path: Path) -> None:
    """The document's loop for five replicas, with an `aws` that writes down its calls."""
    (loop,) = (block for block in blocks() if "register-task-definition" in block)
    (tmp_path / "documentation").symlink_to(REPOSITORY / "documentation")
    record = 'aws() { printf "%s\\n" "$*" >> calls; }; '
    run(record + loop.replace("count=3", "count=5"), tmp_path)
    families = [f"logscollector-{number}-of-5" for number in range(1, 6)]
    for number, family in enumerate(families, 1):
        definition = json.loads((tmp_path / f"task-{number}.json").read_text())
        assert problems_of_ecs(definition) == ""
        assert definition["family"] == family
        container = definition["containerDefinitions"][0]
        assert parse_shard(named(container["environment"])["SHARD"]) == Shard(number, 5)
        assert "<account>" not in json.dumps(definition)
    calls = (tmp_path / "calls").read_text()
    assert calls.count("deploymentCircuitBreaker={enable=true,rollback=true}") == len(families)
    pattern = r"--service-name (\S+) --task-definition (\S+) --desired-count 1"
    assert re.findall(pattern, calls) == [(family, family) for family in families]
    assert calls.count("maximumPercent=100,minimumHealthyPercent=0") == len(families)


def run(command: str, directory: Path) -> str:
    """Returns what a command of the document prints."""
    done = subprocess.run(
        ["bash", "-euc", command], cwd=directory, capture_output=True, text=True, check=True
    )
    return done.stdout
