-- One row per month, environment and exact capability set: how many numbers had it at the month's end (or now).
-- A set that was ever held has a row in every month since the environment's first. The shares of a month add up to 1.
with

ends as (
    select 1 as moved
    union all select -1
),

-- As in cost_changes: what a number could do, and since when.
spans as (
    select
        id,
        has_fax,
        has_mms,
        has_sms,
        has_voice,
        has_whatsapp,
        case when change_type <> 'removed' then environment_key end as held_in,
        min(changed_at) as changed_at,
        max(changed_at) as last_so_at
    from phone_number_changes
    group by
        id,
        has_fax,
        has_mms,
        has_sms,
        has_voice,
        has_whatsapp,
        case when change_type <> 'removed' then environment_key end
),

span_steps as (
    select
        *,
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

rows_that_count as (
    select id, has_fax, has_mms, has_sms, has_voice, has_whatsapp, held_in, changed_at
    from flagged
    where has_returned = 0
    union all
    select
        id,
        has_fax,
        has_mms,
        has_sms,
        has_voice,
        has_whatsapp,
        case when change_type <> 'removed' then environment_key end,
        changed_at
    from phone_number_changes
    where id in (select id from flagged where has_returned = 1)
),

versions as (
    select
        id,
        held_in,
        changed_at,
        case
            when coalesce(has_fax, has_mms, has_sms, has_voice, has_whatsapp) is null then '-not told'
            else concat(
                case when has_fax then '+fax' else '' end,
                case when has_mms then '+mms' else '' end,
                case when has_sms then '+sms' else '' end,
                case when has_voice then '+voice' else '' end,
                case when has_whatsapp then '+whatsapp' else '' end
            )
        end as capabilities
    from rows_that_count
),

steps as (
    select
        *,
        lag(held_in) over (partition by id order by changed_at asc) as was_held_in,
        lag(capabilities) over (partition by id order by changed_at asc) as old_capabilities
    from versions
),

moves as (
    select
        cast(changed_at at time zone 'UTC' as date) as moved_on,
        case when moved = 1 then held_in else was_held_in end as environment_key,
        case when moved = 1 then capabilities else old_capabilities end as capabilities,
        moved
    from steps
    cross join ends
),

flows as (
    select
        cast(moved_on + (1 - extract(day from moved_on)) * interval 1 day as date) as month,
        environment_key,
        case when capabilities = '' then 'none' else substring(capabilities, 2) end as capability_set,
        moved
    from moves
    where environment_key is not null
),

monthly_flows as (
    select
        month,
        environment_key,
        capability_set,
        sum(moved) as moved
    from flows
    group by month, environment_key, capability_set
),

first_months as (
    select
        environment_key,
        min(month) as first_month
    from monthly_flows
    group by environment_key
),

sets as (
    select distinct
        environment_key,
        capability_set
    from monthly_flows
),

months as (
    select
        calendar_months.month,
        sets.environment_key,
        sets.capability_set
    from sets
    inner join first_months on sets.environment_key = first_months.environment_key
    inner join calendar_months on first_months.first_month <= calendar_months.month
    where cast(current_timestamp at time zone 'UTC' as date) >= calendar_months.month
),

mix as (
    select
        months.month,
        months.environment_key,
        months.capability_set,
        sum(coalesce(monthly_flows.moved, 0))
            over (
                partition by months.environment_key, months.capability_set order by months.month asc nulls first
            ) as numbers
    from months
    left join monthly_flows
        on months.month = monthly_flows.month
        and months.environment_key = monthly_flows.environment_key
        and months.capability_set = monthly_flows.capability_set
)

select
    month,
    environment_key,
    capability_set,
    cast(numbers as bigint) as numbers,
    numbers * 1e0 / nullif(sum(numbers) over (partition by month, environment_key), 0) as share_of_numbers
from mix
