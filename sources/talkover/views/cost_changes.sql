-- One row per number and change of the run-rate: it was added, removed or repriced, in one environment and currency.
-- A number that changes its currency or environment is removed from the old one and added to the new one.
with

kinds as (
    select 'added' as kind, 1 as moved
    union all select 'removed', -1
    union all select 'repriced', 0
),

-- The log has a row for each date that moved on, which is most of it. So only what a number was is looked at, and since when.
spans as (
    select
        id,
        number,
        country_code,
        type,
        currency,
        monthly_renewal_cost,
        case when change_type <> 'removed' then environment_key end as held_in,
        min(changed_at) as changed_at,
        max(changed_at) as last_so_at
    from phone_number_changes
    group by
        id,
        number,
        country_code,
        type,
        currency,
        monthly_renewal_cost,
        case when change_type <> 'removed' then environment_key end
),

span_steps as (
    select
        *,
        lag(held_in) over (partition by id order by changed_at asc) as was_held_in,
        lag(currency) over (partition by id order by changed_at asc) as old_currency,
        lag(monthly_renewal_cost) over (partition by id order by changed_at asc) as old_renewal_cost,
        lag(last_so_at) over (partition by id order by changed_at asc) as last_seen_before
    from spans
),

-- Numbers that became again what they had been before have spans that overlap: of them every row counts.
flagged as (
    select
        *,
        max(case when last_seen_before > changed_at then 1 else 0 end) over (partition by id) as has_returned
    from span_steps
),

steps as (
    select
        id,
        number,
        country_code,
        type,
        changed_at,
        held_in,
        currency,
        monthly_renewal_cost,
        was_held_in,
        old_currency,
        old_renewal_cost
    from flagged
    where has_returned = 0
    union all
    select
        id,
        number,
        country_code,
        type,
        changed_at,
        case when change_type <> 'removed' then environment_key end,
        currency,
        monthly_renewal_cost,
        lag(case when change_type <> 'removed' then environment_key end) over (partition by id order by changed_at asc),
        lag(currency) over (partition by id order by changed_at asc),
        lag(monthly_renewal_cost) over (partition by id order by changed_at asc)
    from phone_number_changes
    where id in (select id from flagged where has_returned = 1)
),

sorted_steps as (
    select
        id,
        number,
        country_code,
        type,
        changed_at,
        held_in,
        was_held_in,
        coalesce(currency, '') as currency_group,
        coalesce(old_currency, '') as old_currency_group,
        coalesce(monthly_renewal_cost, 0) as cost,
        coalesce(old_renewal_cost, 0) as old_cost,
        case when held_in = was_held_in and coalesce(currency, '') = coalesce(old_currency, '') then 1 else 0 end as stays
    from steps
),

moves as (
    select
        id,
        number,
        country_code,
        type,
        changed_at,
        cast(changed_at at time zone 'UTC' as date) as changed_on,
        kind,
        moved,
        case when kind = 'removed' then was_held_in else held_in end as in_environment,
        case when kind = 'removed' then old_currency_group else currency_group end as in_currency,
        case when kind = 'added' then cost when kind = 'removed' then -old_cost else cost - old_cost end as by_cost
    from sorted_steps
    cross join kinds
    where
        (kind = 'added' and stays = 0 and held_in is not null)
        or (kind = 'removed' and stays = 0 and was_held_in is not null)
        or (kind = 'repriced' and stays = 1 and cost <> old_cost)
)

select
    id as phone_number_id,
    in_environment as environment_key,
    number,
    country_code,
    type,
    nullif(in_currency, '') as currency,
    kind,
    moved as numbers,
    by_cost as monthly_cost,
    cast(changed_on + (1 - extract(day from changed_on)) * interval 1 day as date) as month,
    changed_at
from moves
