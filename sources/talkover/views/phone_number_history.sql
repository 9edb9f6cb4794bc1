-- One row per version of a number: what it was from valid_from on, until valid_to (null: still so).
with

changes as (
    select
        id,
        environment_key,
        number,
        country_code,
        type,
        current_status,
        is_sandbox,
        has_fax,
        has_mms,
        has_sms,
        has_voice,
        has_whatsapp,
        currency,
        monthly_renewal_cost,
        current_price,
        renewal_date,
        auto_renewal,
        created_at,
        updated_at,
        change_type,
        changed_at,
        lead(changed_at) over (partition by id order by changed_at asc) as next_changed_at,
        case
            when coalesce(has_fax, has_mms, has_sms, has_voice, has_whatsapp) is null then 'unknown'
            else concat(
                case when has_fax then '+fax' else '' end,
                case when has_mms then '+mms' else '' end,
                case when has_sms then '+sms' else '' end,
                case when has_voice then '+voice' else '' end,
                case when has_whatsapp then '+whatsapp' else '' end
            )
        end as capabilities
    from phone_number_changes
)

select
    id as phone_number_id,
    environment_key,
    number as phone_number,
    country_code,
    type,
    current_status,
    is_sandbox,
    has_fax,
    has_mms,
    has_sms,
    has_voice,
    has_whatsapp,
    case
        when capabilities = '' then 'none'
        when capabilities = 'unknown' then capabilities
        else substring(capabilities, 2)
    end as capability_set,
    currency,
    monthly_renewal_cost as monthly_cost,
    current_price,
    renewal_date,
    auto_renewal,
    created_at,
    updated_at,
    changed_at as valid_from,
    next_changed_at as valid_to
from changes
where change_type <> 'removed'
