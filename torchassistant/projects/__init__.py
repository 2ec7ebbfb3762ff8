"""New projects: a config, the code that it names, and a page that says what to do."""

from torchassistant.projects.module_name import module_name
from torchassistant.projects.project import KINDS, Project, make_project

__all__ = ["KINDS", "Project", "make_project", "module_name"]
