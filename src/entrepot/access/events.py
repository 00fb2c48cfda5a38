"""What happens to members, roles and robot accounts."""

from __future__ import annotations

from entrepot.journal.model import Event


class MemberEvent(Event, frozen=True, kw_only=True):
    """Something happened to a grant: to the role that a user or a group has in a project."""

    resource_type = "member"
    grant_id: int
    entity: str
    """The user's or the group's name."""
    entity_type: str
    """``u`` for a user, ``g`` for a group."""

    @property
    def resource(self) -> str:
        """The member's name."""
        return self.entity


class MemberAdded(MemberEvent, frozen=True, kw_only=True):
    """A user or a group was given a role in a project, maybe only in some repositories and tags."""

    operation = "create"
    role: str
    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class MemberChanged(MemberEvent, frozen=True, kw_only=True):
    """A grant has another role or other limits."""

    operation = "update"
    previous_role: str
    role: str
    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class MemberRemoved(MemberEvent, frozen=True, kw_only=True):
    """A grant is gone."""

    operation = "delete"
    role: str


class RoleEvent(Event, frozen=True, kw_only=True):
    """Something happened to a custom role."""

    resource_type = "role"
    role_id: int
    role: str

    @property
    def resource(self) -> str:
        """The role's name."""
        return self.role


class RoleCreated(RoleEvent, frozen=True, kw_only=True):
    """A custom role came to be; permissions are written ``resource:action``."""

    operation = "create"
    permissions: tuple[str, ...]


class RoleUpdated(RoleEvent, frozen=True, kw_only=True):
    """A custom role has another name, description or other permissions."""

    operation = "update"
    previous: str
    """Its name before."""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class RoleDeleted(RoleEvent, frozen=True, kw_only=True):
    """A custom role is gone."""

    operation = "delete"


class RobotEvent(Event, frozen=True, kw_only=True):
    """Something happened to a robot account."""

    resource_type = "robot"
    robot_id: int
    robot: str
    """Its full name, with the prefix that was set at that time."""

    @property
    def resource(self) -> str:
        """The robot account's full name."""
        return self.robot


class RobotCreated(RobotEvent, frozen=True, kw_only=True):
    """A robot account came to be; ``duration`` in days, -1 without an end."""

    operation = "create"
    permissions: tuple[str, ...]
    duration: int


class RobotUpdated(RobotEvent, frozen=True, kw_only=True):
    """A robot account was changed; ``changes`` holds the new values by name."""

    operation = "update"
    changes: dict[str, str]


class RobotSecretReplaced(RobotEvent, frozen=True, kw_only=True):
    """A robot account has a new secret, and none of the older ones works."""

    operation = "update"


class RobotSecretAdded(RobotEvent, frozen=True, kw_only=True):
    """A robot account has one secret more; ``older_end_at`` says when the older ones end, in seconds, if they do."""

    operation = "update"
    secret_id: int
    older_end_at: int | None = None


class RobotSecretRemoved(RobotEvent, frozen=True, kw_only=True):
    """One of a robot account's secrets no longer works."""

    operation = "update"
    secret_id: int


class RobotDeleted(RobotEvent, frozen=True, kw_only=True):
    """A robot account is gone."""

    operation = "delete"
