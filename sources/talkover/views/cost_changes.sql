-- One row per number and change of the run-rate: it was added, removed or repriced, in one environment and currency.
-- A number that changes its currency or environment is removed from the old one and added to the new one.
with

versions as (
    select
        id,
        environment_key,
        number,
        country_code,
        type,
        changed_at,
        coalesce(monthly_renewal_cost, 0) as cost,
        coalesce(currency, '') as currency_group,
        case when change_type = 'removed' then 0 else 1 end as is_held
    from phone_number_changes
),

steps as (
    select
        *,
        lag(environment_key) over (partition by id order by changed_at asc) as old_environment_key,
        lag(currency_group) over (partition by id order by changed_at asc) as old_currency_group,
        lag(cost) over (partition by id order by changed_at asc) as old_cost,
        coalesce(lag(is_held) over (partition by id order by changed_at asc), 0) as was_held
    from versions
),

sorted_steps as (
    select
        *,
        case
            when is_held = 1 and was_held = 1
                and environment_key = old_environment_key and currency_group = old_currency_group then 1
            else 0
        end as stays
    from steps
),

moves as (
    select *, environment_key as in_environment, currency_group as in_currency, 'added' as kind, 1 as moved, cost as by_cost
    from sorted_steps
    where is_held = 1 and stays = 0
    union all
    select *, old_environment_key, old_currency_group, 'removed', -1, -old_cost
    from sorted_steps
    where was_held = 1 and stays = 0
    union all
    select *, environment_key, currency_group, 'repriced', 0, cost - old_cost
    from sorted_steps
    where stays = 1 and cost <> old_cost
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
    on cast(moves.changed_at at time zone 'UTC' as date) >= calendar_months.month
    and cast(moves.changed_at at time zone 'UTC' as date) < calendar_months.next_month
