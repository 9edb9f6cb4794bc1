-- One row per number that is held now, with its capability set, the days to its renewal and its open release request.
with

open_requests as (
    select
        id,
        phone_number_id,
        requested_at
    from release_requests
    where status = 'pending'
    qualify row_number() over (partition by phone_number_id order by requested_at desc, id desc) = 1
),

told as (
    select
        id,
        case
            when coalesce(has_fax, has_mms, has_sms, has_voice, has_whatsapp) is null then 'not told'
            else concat(
                case when has_fax then '+fax' else '' end,
                case when has_mms then '+mms' else '' end,
                case when has_sms then '+sms' else '' end,
                case when has_voice then '+voice' else '' end,
                case when has_whatsapp then '+whatsapp' else '' end
            )
        end as capabilities
    from phone_numbers
)

select
    numbers.id,
    numbers.environment_key,
    numbers.number,
    numbers.country_code,
    numbers.type,
    numbers.current_status,
    numbers.is_sandbox,
    case
        when told.capabilities = '' then 'none'
        when told.capabilities = 'not told' then told.capabilities
        else substring(told.capabilities, 2)
    end as capability_set,
    numbers.currency,
    numbers.monthly_renewal_cost,
    numbers.renewal_date,
    date_diff('day', cast(current_timestamp at time zone 'UTC' as date), numbers.renewal_date) as days_to_renewal,
    numbers.auto_renewal,
    open_requests.id as open_request_id,
    open_requests.requested_at as release_requested_at,
    numbers.created_at
from phone_numbers as numbers
inner join told on numbers.id = told.id
left join open_requests on numbers.id = open_requests.phone_number_id
