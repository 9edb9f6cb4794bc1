-- One row per number and unbroken time that it was held in one environment under one phone_number.
-- valid_from is when it was bought, where that is known, else when it was first seen. No valid_to: still so.
with

versions as (
    select
        phone_number_id,
        environment_key,
        phone_number,
        created_at,
        changed_at,
        lead(changed_at) over (partition by phone_number_id order by changed_at asc) as next_changed_at,
        lag(environment_key) over (partition by phone_number_id order by changed_at asc) as was_held_in,
        lag(phone_number) over (partition by phone_number_id order by changed_at asc) as old_phone_number,
        row_number() over (partition by phone_number_id order by changed_at asc) as place
    from inventory_changes
),

starts as (
    select
        *,
        case
            when environment_key = was_held_in and coalesce(phone_number, '') = coalesce(old_phone_number, '') then 0
            else 1
        end as is_start
    from versions
),

holdings as (
    select
        *,
        sum(is_start) over (partition by phone_number_id order by place asc nulls first) as holding
    from starts
)

select
    phone_number_id,
    environment_key,
    phone_number,
    min(case when place = 1 and created_at < changed_at then created_at else changed_at end) as valid_from,
    case when count(next_changed_at) = count(*) then max(next_changed_at) end as valid_to
from holdings
where environment_key is not null
group by phone_number_id, environment_key, phone_number, holding
