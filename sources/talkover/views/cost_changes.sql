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

followed_spans as (
    select
        id,
        last_so_at,
        lead(changed_at) over (partition by id order by changed_at asc) as next_changed_at
    from spans
),

-- Numbers that became again what they had been before: of them every row counts.
returned as (
    select distinct id
    from followed_spans
    where next_changed_at < last_so_at
),

rows_that_count as (
    select id, number, country_code, type, currency, monthly_renewal_cost, held_in, changed_at
    from spans
    where id not in (select id from returned)
    union all
    select
        id,
        number,
        country_code,
        type,
        currency,
        monthly_renewal_cost,
        case when change_type <> 'removed' then environment_key end,
        changed_at
    from phone_number_changes
    where id in (select id from returned)
),

versions as (
    select
        id,
        number,
        country_code,
        type,
        changed_at,
        held_in,
        coalesce(monthly_renewal_cost, 0) as cost,
        coalesce(currency, '') as currency_group
    from rows_that_count
),

steps as (
    select
        *,
        lag(held_in) over (partition by id order by changed_at asc) as was_held_in,
        lag(currency_group) over (partition by id order by changed_at asc) as old_currency_group,
        lag(cost) over (partition by id order by changed_at asc) as old_cost
    from versions
),

sorted_steps as (
    select
        *,
        case when held_in = was_held_in and currency_group = old_currency_group then 1 else 0 end as stays
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
    moves.id as phone_number_id,
    moves.in_environment as environment_key,
    moves.number,
    moves.country_code,
    moves.type,
    nullif(moves.in_currency, '') as currency,
    moves.kind,
    moves.moved as numbers,
    moves.by_cost as monthly_cost,
    calendar_months.month,
    moves.changed_at
from moves
inner join calendar_months
    on cast(changed_on + (1 - extract(day from changed_on)) * interval 1 day as date) = calendar_months.month
