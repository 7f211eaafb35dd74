"""Define the limits of time, memory, threads, output and disk under which each answer runs."""

from dataclasses import dataclass

from rlhf_course.errors import CourseError

_SPARE_CPU_SECONDS = 10


@dataclass(frozen=True)
class ResourceLimits:
    """The resource limits of each answer of a submission; the sandbox is ended when the answer exceeds a limit.

    Attributes:
        timeout: Seconds that one call may take, with the import of the answer's file.
        exercise_timeout: Seconds that all calls for one exercise may take together.
        submission_timeout: Seconds after which no further call of a submission is made, whatever took so long.
        memory: Megabytes of address space beyond what Python and torch have mapped.
        threads: Threads at once; new processes are refused in any case.
        output: Kilobytes that one call may return. What an answer prints is discarded and not limited.
        disk: Kilobytes of files, in a folder that is deleted with the sandbox.
    """

    timeout: float = 10.0
    exercise_timeout: float = 120.0
    submission_timeout: float = 300.0
    memory: int = 2048
    threads: int = 64
    output: int = 65536
    disk: int = 16384

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise CourseError(f"limit {name!r} must be above 0, got {value!r}")

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes."""
        return self.memory * 2**20

    @property
    def output_bytes(self) -> int:
        """The output limit in bytes."""
        return self.output * 2**10

    @property
    def disk_bytes(self) -> int:
        """The disk limit in bytes."""
        return self.disk * 2**10

    @property
    def cpu_seconds(self) -> int:
        """Seconds of processor time: a few more than `exercise_timeout`, so that the deadline usually comes first."""
        return int(self.exercise_timeout) + _SPARE_CPU_SECONDS
