"""The order of commands in each workflow's source, as text that a diff can show.

A change of this order breaks the replay of histories that exist; what depends on data is guarded by the
recorded histories beside this file. ``python -m tests.replay.fingerprints`` writes the baseline anew.
"""

import ast
import json
from pathlib import Path

WORKFLOWS = Path(__file__).parents[2] / "workflows"
BASELINE = Path(__file__).with_name("fingerprints.json")

COMMANDS = {
    "cancel",
    "continue_as_new",
    "deprecate_patch",
    "execute_activity",
    "execute_child_workflow",
    "patched",
    "signal",
    "sleep",
    "start_child_workflow",
    "upsert_search_attributes",
    "wait_condition",
}
CALLS = {"ask", "call", "hold"}
"""Our own methods and functions that lead to commands."""


def fingerprints() -> dict[str, list[str]]:
    """Return the ordered commands of each function that has any, by module and function."""
    found: dict[str, list[str]] = {}
    for path in sorted(WORKFLOWS.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                commands = [text for node in _calls(function) if (text := _command(node))]
                if commands:
                    found[f"{path.stem}.{function.name}"] = commands
    return found


def _calls(function: ast.AST) -> list[ast.Call]:
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def _command(call: ast.Call) -> str:
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    function = call.func.id if isinstance(call.func, ast.Name) else ""
    if method not in COMMANDS | CALLS and function not in CALLS:
        return ""
    named = [ast.unparse(argument) for argument in call.args if _is_name(argument)]
    timer = ["timeout"] if any(keyword.arg == "timeout" for keyword in call.keywords) else []
    return f"{method or function}({', '.join(named + timer)})"


def _is_name(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Attribute) and ast.unparse(argument).startswith(("names.", "StepKind."))


if __name__ == "__main__":
    BASELINE.write_text(json.dumps(fingerprints(), indent=2) + "\n")
