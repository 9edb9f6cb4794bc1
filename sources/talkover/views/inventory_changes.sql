-- One row per number and change of its environment, number, country, type, currency, cost or capabilities: after and before.
-- No environment_key: the number is gone. No previous_environment_key: it is new. A number that became again what it had been
-- has a row per row of the log.
with

-- The log has a row for each date that moved, which is most of it. So only what a number was is compared, and since when.
spans as (
    select
        id,
        number,
        country_code,
        type,
        has_fax,
        has_mms,
        has_sms,
        has_voice,
        has_whatsapp,
        currency,
        monthly_renewal_cost,
        case when change_type <> 'removed' then environment_key end as held_in,
        max(created_at) as created_at,
        min(changed_at) as changed_at,
        max(changed_at) as last_so_at
    from phone_number_changes
    group by
        id,
        number,
        country_code,
        type,
        has_fax,
        has_mms,
        has_sms,
        has_voice,
        has_whatsapp,
        currency,
        monthly_renewal_cost,
        case when change_type <> 'removed' then environment_key end
),

span_steps as (
    select
        *,
        lag(last_so_at) over (partition by id order by changed_at asc) as last_seen_before
    from spans
),

-- Numbers that became again what they had been have spans that overlap: of them every row counts.
flagged as (
    select
        *,
        max(case when last_seen_before > changed_at then 1 else 0 end) over (partition by id) as has_returned
    from span_steps
),

versions as (
    select
        id,
        number,
        country_code,
        type,
        has_fax,
        has_mms,
        has_sms,
        has_voice,
        has_whatsapp,
        currency,
        monthly_renewal_cost,
        held_in,
        created_at,
        changed_at
    from flagged
    where has_returned = 0
    union all
    select
        id,
        number,
        country_code,
        type,
        has_fax,
        has_mms,
        has_sms,
        has_voice,
        has_whatsapp,
        currency,
        monthly_renewal_cost,
        case when change_type <> 'removed' then environment_key end,
        created_at,
        changed_at
    from phone_number_changes
    where id in (select id from flagged where has_returned = 1)
),

described as (
    select
        *,
        case
            when coalesce(has_fax, has_mms, has_sms, has_voice, has_whatsapp) is null then '-unknown'
            else concat(
                case when has_fax then '+fax' else '' end,
                case when has_mms then '+mms' else '' end,
                case when has_sms then '+sms' else '' end,
                case when has_voice then '+voice' else '' end,
                case when has_whatsapp then '+whatsapp' else '' end
            )
        end as capabilities
    from versions
),

steps as (
    select
        *,
        lag(held_in) over (partition by id order by changed_at asc) as was_held_in,
        lag(country_code) over (partition by id order by changed_at asc) as old_country_code,
        lag(capabilities) over (partition by id order by changed_at asc) as old_capabilities,
        lag(currency) over (partition by id order by changed_at asc) as old_currency,
        lag(monthly_renewal_cost) over (partition by id order by changed_at asc) as old_renewal_cost
    from described
)

select
    id as phone_number_id,
    held_in as environment_key,
    number as phone_number,
    country_code,
    type,
    case when capabilities = '' then 'none' else substring(capabilities, 2) end as capability_set,
    currency,
    monthly_renewal_cost as monthly_cost,
    was_held_in as previous_environment_key,
    old_country_code as previous_country_code,
    case when old_capabilities = '' then 'none' else substring(old_capabilities, 2) end as previous_capability_set,
    old_currency as previous_currency,
    old_renewal_cost as previous_monthly_cost,
    created_at,
    changed_at,
    cast(changed_at at time zone 'UTC' as date) as changed_on
from steps
