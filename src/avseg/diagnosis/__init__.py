"""Checks of a machine and of a model, with the next step where one fails."""

from avseg.diagnosis.check import Check
from avseg.diagnosis.machine import check_machine, describe_software
from avseg.diagnosis.model import ModelTest, check_model

__all__ = ["Check", "ModelTest", "check_machine", "check_model", "describe_software"]
