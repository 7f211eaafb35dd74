"""What an answer may take."""

from dataclasses import dataclass

from rlhf_course.errors import CourseError


@dataclass(frozen=True)
class ResourceLimits:
    """What each answer of a submission may take; where it takes more, its sandbox ends.

    Attributes:
        timeout: seconds that one call may take, loading the file included.
        exercise_timeout: seconds that all calls for one exercise may take together.
        memory: megabytes, beyond what Python and torch have mapped.
        processes: threads at once; new processes are refused in any case.
        output: kilobytes that one call may give back. What an answer prints is thrown away, however much it is.
        disk: kilobytes of files, in a folder that goes with the sandbox.
    """

    timeout: float = 10.0
    exercise_timeout: float = 120.0
    memory: int = 2048
    processes: int = 64
    output: int = 65536
    disk: int = 16384

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise CourseError(f"limit {name!r} takes a number above 0, got {value!r}")
