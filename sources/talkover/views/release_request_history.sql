-- One row per state of a release request: what it was from valid_from on, until valid_to (null: still so).
with

changes as (
    select
        id,
        environment_key,
        phone_number_id,
        phone_number,
        status,
        reason,
        rejection_reason,
        requested_at,
        resolved_at,
        changed_at,
        lead(changed_at) over (partition by id order by changed_at asc) as next_changed_at
    from release_request_changes
)

select
    id as release_request_id,
    environment_key,
    phone_number_id,
    phone_number,
    status,
    reason,
    rejection_reason,
    requested_at,
    resolved_at,
    changed_at as valid_from,
    next_changed_at as valid_to
from changes
