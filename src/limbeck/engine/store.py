"""A student on disk: backbone as transformers writes it, head in its own safetensors, tokenizer. No pickle."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from limbeck.engine.encoder import HEADS, EncoderStudent
from limbeck.engine.load import read_folder
from limbeck.engine.predict import StudentPredictor
from limbeck.errors import ModelError
from limbeck.run import room_on_disk
from limbeck.types import Task

HEAD = "head.safetensors"


def save_student(predictor: StudentPredictor, folder: Path) -> None:
    """config.json, model.safetensors, tokenizer files, head.safetensors (its kind and sizes in the metadata)."""
    student = predictor.student
    with room_on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        student.backbone.save_pretrained(folder)
        predictor.tokenizer.save_pretrained(folder)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in student.head.state_dict().items()}
        about = {"head": student.head_name, "hidden": student.backbone.config.hidden_size, "answers": len(predictor.task.labels)}
        save_file(weights, folder / HEAD, metadata={"limbeck": json.dumps({**about, "max_length": predictor.max_length})})


def load_student(folder: Path, task: Task) -> StudentPredictor:
    """Raises ModelError where a file is missing or is not what was written."""
    backbone, tokenizer = read_folder(folder)
    try:
        with safe_open(folder / HEAD, "pt") as file:
            about = json.loads(file.metadata()["limbeck"])
        head = HEADS[about["head"]](about["hidden"], about["answers"])
        head.load_state_dict(load_file(folder / HEAD))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as broken:
        raise ModelError(f"the head of the student in {folder} cannot be read", str(broken), "copy the folder again, or export it again") from broken
    student = EncoderStudent(backbone, about["head"], head).requires_grad_(False).eval()
    return StudentPredictor(student, tokenizer, task, about["max_length"])
