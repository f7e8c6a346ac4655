"""Setting passwords: chosen or generated, checked first, and told to whom it may concern."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from services.authorization import Permission
from services.changes import Change, privileged_problems, problem_of, require
from services.directory import require_active_user
from services.errors import Conflict, Refused, RefusedReason, UpstreamError
from services.locks import Locks, user_lock
from services.mailer import NOT_CONFIGURED, Delivery, DeliveryKind, DeliveryStatus, Mailer, Message
from services.models import Tenant, User, UserRef
from services.outcomes import Field, Outcome, Problem, ProblemCode, Refusal
from services.partner_center.client import PartnerCenterClient
from services.passwords import generate, violations
from services.secret import Secret
from services.writes import OutcomeUnknown

MOST_ADDRESSES = 5
UNCONFIRMED = (
    "Microsoft did not say whether the password was set. If it is not accepted at sign-in, the one before still holds: "
    "reset it again."
)
_ID: Field = ("input", "id")
_VALUE: Field = ("input", "password", "value")
_ADDRESSES: Field = ("input", "sendPasswordTo")


@dataclass(frozen=True, slots=True)
class PasswordChoice:
    """The password to set; None: one is generated. `must_change`: at the next sign-in."""

    value: Secret | None
    must_change: bool = True


@dataclass(frozen=True, slots=True)
class PasswordService:
    """Resets passwords, and tells them by mail."""

    partner_center: PartnerCenterClient
    mailer: Mailer
    locks: Locks

    async def reset(
        self,
        change: Change,
        ref: UserRef,
        choice: PasswordChoice,
        send_to: Sequence[str],
        find_tenant: Callable[[], Awaitable[Tenant]],
    ) -> Outcome:
        """Sets another password. Without an address a notice, without the password, goes to the sign-in name."""
        require(change.caller, Permission.RESET_PASSWORDS)
        async with self.locks.hold([user_lock(ref)], deadline_seconds=change.seconds_left()):
            user = await self._checked(change, ref, choice, send_to)
            tenant = await find_tenant()
            change.plans({}, {"mustChangeAtNextSignIn": choice.must_change})
            password = choice.value or generate([user.user_principal_name])
            messages = reset_messages(user, tenant.name, password, choice, send_to)
            if change.dry_run:
                return Outcome(user=user, delivery=self.forecast(messages))
            problem = await self._write(change, ref, password, choice)
        if problem:
            messages = [replace(message, unconfirmed=True) for message in messages]
        return Outcome(
            user=user,
            delivery=tuple(await self.mailer.send(messages)),
            user_errors=(problem,) if problem else (),
            temporary_password=password if choice.value is None else None,
        )

    async def _checked(self, change: Change, ref: UserRef, choice: PasswordChoice, send_to: Sequence[str]) -> User:
        """The user whose password may be set; else every problem of the input, also where the user cannot be read."""
        blind = [*policy_problems(choice), *address_problems(send_to)]
        try:
            user = await require_active_user(self.partner_center, ref, _ID, change.now())
            change.user_principal_name = user.user_principal_name
            may_all = change.caller.may(Permission.MANAGE_ADMINS)
            roles = [] if may_all else await self.partner_center.list_user_roles(ref)
        except Refusal as refusal:
            raise Refusal(*refusal.problems, *blind) from refusal
        except UpstreamError as error:
            if blind:
                raise Refusal(*blind) from error
            raise
        problems = [
            *_mastered_elsewhere(user),
            *privileged_problems(change.caller, roles, _ID),
            *policy_problems(choice, user.user_principal_name),
            *address_problems(send_to),
        ]
        if problems:
            raise Refusal(*problems)
        return user

    async def _write(self, change: Change, ref: UserRef, password: Secret, choice: PasswordChoice) -> Problem | None:
        """Sets it. A password cannot be read back: where Microsoft did not say, it is handed over all the same."""
        # Another password is another request to Microsoft, which would give the answer to the first one's id.
        step = f"password-{uuid4()}" if change.resumed and choice.value is None else "password"
        try:
            await change.write(
                step,
                lambda request_id: self.partner_center.reset_password(
                    ref, password.reveal(), force_change=choice.must_change, request_id=request_id
                ),
                None,
                lambda _: change.after.update(change.wanted),
            )
        except OutcomeUnknown:
            return Problem(code=ProblemCode.OUTCOME_UNKNOWN, message=UNCONFIRMED, field=("input", "password"))
        except Refused as error:
            raise Refusal(password_problem(error, _ID)) from error
        return None

    def forecast(self, messages: Sequence[Message]) -> tuple[Delivery, ...]:
        """What a dry run says of the mails: not sent, or that they cannot be sent at all."""
        if self.mailer.configured:
            return tuple(Delivery(one.to, one.kind, DeliveryStatus.NOT_SENT_DRY_RUN) for one in messages)
        return tuple(Delivery(one.to, one.kind, DeliveryStatus.FAILED, NOT_CONFIGURED) for one in messages)


def reset_messages(
    user: User, tenant_name: str, password: Secret, choice: PasswordChoice, send_to: Sequence[str]
) -> list[Message]:
    """One mail an address with the password; without addresses a notice to the user's sign-in name."""
    kind = DeliveryKind.PASSWORD if send_to else DeliveryKind.NOTICE
    return [
        Message(
            to=address,
            kind=kind,
            tenant_name=tenant_name,
            display_name=user.display_name,
            user_principal_name=user.user_principal_name,
            password=password if send_to else None,
            must_change=choice.must_change,
            created=False,
        )
        for address in dict.fromkeys(send_to) or [user.user_principal_name]
    ]


def password_problem(error: Refused | Conflict, other_field: Field) -> Problem:
    """Microsoft's refusal, at the password if it is about that."""
    if error.reason is not RefusedReason.PASSWORD_POLICY:
        return problem_of(error, other_field)
    problem = problem_of(error, _VALUE)
    return replace(problem, violations=(problem.message,))


def policy_problems(choice: PasswordChoice, *names: str) -> list[Problem]:
    """What is wrong with a chosen password, all of it in one problem."""
    found = violations(choice.value.reveal(), names) if choice.value is not None else []
    if not found:
        return []
    message = "The password is not good enough: " + " ".join(found)
    return [Problem(code=ProblemCode.PASSWORD_POLICY, message=message, field=_VALUE, violations=tuple(found))]


def address_problems(send_to: Sequence[str]) -> list[Problem]:
    """What is wrong with the list of addresses."""
    if len(send_to) <= MOST_ADDRESSES:
        return []
    message = f"The password can be sent to at most {MOST_ADDRESSES} addresses."
    return [Problem(code=ProblemCode.INVALID, message=message, field=_ADDRESSES)]


def _mastered_elsewhere(user: User) -> list[Problem]:
    if not (user.directory_synced or user.federated):
        return []
    where = "mastered in the customer's own directory" if user.directory_synced else "signed in by another provider"
    message = f"{user.display_name} is {where}; the password has to be set there."
    return [Problem(code=ProblemCode.DIRECTORY_SYNCED, message=message, field=_ID)]
