-- One row per number and change of the run rate: it was added, removed or repriced, in one environment and currency.
-- What an environment's first load found is no change: its change_type is first_load. A number that changes its currency or
-- environment is removed from the old one and added to the new one.
with

change_types as (
    select 'added' as change_type, 1 as moved
    union all select 'removed', -1
    union all select 'repriced', 0
),

steps as (
    select
        phone_number_id,
        phone_number,
        country_code,
        type,
        created_at,
        changed_at,
        changed_on,
        environment_key as held_in,
        previous_environment_key as was_held_in,
        coalesce(currency, '') as currency_group,
        coalesce(previous_currency, '') as old_currency_group,
        coalesce(monthly_cost, 0) as cost,
        coalesce(previous_monthly_cost, 0) as old_cost,
        case
            when environment_key = previous_environment_key and coalesce(currency, '') = coalesce(previous_currency, '')
                then 1
            else 0
        end as stays
    from inventory_changes
),

moves as (
    select
        phone_number_id,
        phone_number,
        country_code,
        type,
        created_at,
        changed_at,
        changed_on,
        change_type,
        moved,
        case when change_type = 'removed' then was_held_in else held_in end as in_environment,
        case when change_type = 'removed' then old_currency_group else currency_group end as in_currency,
        case
            when change_type = 'added' then cost
            when change_type = 'removed' then -old_cost
            else cost - old_cost
        end as by_cost
    from steps
    cross join change_types
    where
        (change_type = 'added' and stays = 0 and held_in is not null)
        or (change_type = 'removed' and stays = 0 and was_held_in is not null)
        or (change_type = 'repriced' and stays = 1 and cost <> old_cost)
)

select
    moves.phone_number_id,
    moves.in_environment as environment_key,
    moves.phone_number,
    moves.country_code,
    moves.type,
    nullif(moves.in_currency, '') as currency,
    case
        when moves.change_type = 'added' and moves.changed_at = first_loads.first_load_at then 'first_load'
        else moves.change_type
    end as change_type,
    moves.moved as numbers,
    moves.by_cost as monthly_cost,
    cast(moves.changed_on + (1 - extract(day from moves.changed_on)) * interval 1 day as date) as month,
    moves.created_at,
    moves.changed_at
from moves
left join first_loads on moves.in_environment = first_loads.environment_key
