-- One row per environment, currency and capability: how many of the numbers held now have it. The shares add up past 1.
-- Numbers whose capability is unknown count neither way and are left out of share_of_numbers.
with

capabilities as (
    select environment_key, currency, monthly_renewal_cost, 'fax' as capability, has_fax as is_there from phone_numbers
    union all
    select environment_key, currency, monthly_renewal_cost, 'mms', has_mms from phone_numbers
    union all
    select environment_key, currency, monthly_renewal_cost, 'sms', has_sms from phone_numbers
    union all
    select environment_key, currency, monthly_renewal_cost, 'voice', has_voice from phone_numbers
    union all
    select environment_key, currency, monthly_renewal_cost, 'whatsapp', has_whatsapp from phone_numbers
),

counts as (
    select
        environment_key,
        currency,
        capability,
        count(case when is_there then 1 end) as numbers_with,
        count(case when not is_there then 1 end) as numbers_without,
        count(case when is_there is null then 1 end) as numbers_unknown,
        coalesce(sum(case when is_there then monthly_renewal_cost end), 0) as cost_with
    from capabilities
    group by environment_key, currency, capability
)

select
    environment_key,
    currency,
    capability,
    numbers_with,
    numbers_without,
    numbers_unknown,
    numbers_with * 1e0 / nullif(numbers_with + numbers_without, 0) as share_of_numbers,
    cast(cost_with as decimal(38, 4)) as monthly_cost
from counts
