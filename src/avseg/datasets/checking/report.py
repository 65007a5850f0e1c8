"""Report of a check, as a table and as JSON."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from avseg.atomic import replace_when_complete
from avseg.datasets.checking.findings import FINDING_KINDS, Finding


@dataclass
class CheckReport:
    """Contents and problems of a data set.

    Attributes:
        root: The checked folder.
        clips: Number of clips by subset and split.
        findings: Problems by subset.
    """

    root: Path
    clips: dict[str, dict[str, int]] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=lambda: defaultdict(list))

    @property
    def errors(self) -> int:
        """Number of files and rows with an error."""
        return self._count("error")

    @property
    def warnings(self) -> int:
        """Number of files and rows with a warning."""
        return self._count("warning")

    def groups(self) -> list[tuple[str, str, list[Finding]]]:
        """Group the findings by kind and subset.

        Returns:
            Kind, subset and findings; errors first, then in the order of `FINDING_KINDS`.
        """
        groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        for subset, findings in self.findings.items():
            for finding in findings:
                groups[finding.kind, subset].append(finding)
        # `sorted` is stable, so that kinds of the same severity keep the order of the dictionary.
        order = sorted(FINDING_KINDS, key=lambda kind: FINDING_KINDS[kind].severity != "error")
        keys = sorted(groups, key=lambda key: order.index(key[0]))
        return [(kind, subset, groups[kind, subset]) for kind, subset in keys]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Format the findings as a table.

        Returns:
            Headings, and one row for each kind and subset with its first finding.
        """
        rows = [
            [
                FINDING_KINDS[kind].severity,
                kind,
                subset,
                str(sum(finding.count for finding in findings)),
                self._describe(findings[0]),
            ]
            for kind, subset, findings in self.groups()
        ]
        return ["", "what", "subset", "count", "for instance"], rows

    def save(self, path: Path) -> None:
        """Write the report with all findings as JSON.

        Args:
            path: File to write.

        Raises:
            OutputError: If the file cannot be written.
        """
        content = {
            "data": str(self.root),
            "clips": self.clips,
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": [
                {
                    "kind": kind,
                    "severity": FINDING_KINDS[kind].severity,
                    "meaning": FINDING_KINDS[kind].meaning,
                    "subset": subset,
                    "count": sum(finding.count for finding in findings),
                    "places": [self._as_json(finding) for finding in findings],
                }
                for kind, subset, findings in self.groups()
            ],
        }
        with replace_when_complete(path) as unfinished:
            unfinished.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _as_json(self, finding: Finding) -> dict[str, object]:
        path = self._shorten(finding.path)
        return {"path": path, "detail": finding.detail, "count": finding.count}

    def _describe(self, finding: Finding) -> str:
        return ": ".join(filter(None, [self._shorten(finding.path), finding.detail]))

    def _shorten(self, path: Path) -> str:
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)

    def _count(self, severity: str) -> int:
        return sum(
            finding.count
            for findings in self.findings.values()
            for finding in findings
            if FINDING_KINDS[finding.kind].severity == severity
        )
