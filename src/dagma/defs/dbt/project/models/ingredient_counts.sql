select
    ingredient,
    count(distinct recipe_id) as recipes,
    count(distinct cuisine) as cuisines
from {{ source('recipes', 'recipe_ingredients') }}
group by 1
order by 2 desc, 1
