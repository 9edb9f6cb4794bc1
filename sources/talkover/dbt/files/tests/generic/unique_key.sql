{% test unique_key(model, columns) %}
-- A key of several columns, of which some may be null, which is a value like any other here.
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
