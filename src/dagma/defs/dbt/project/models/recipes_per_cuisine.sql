select
    coalesce(cuisine, 'unknown') as cuisine,
    count(distinct recipe_id) as recipes,
    round(count(*)::numeric / count(distinct recipe_id), 1) as ingredients_per_recipe
from {{ source('recipes', 'recipe_ingredients') }}
group by 1
order by 2 desc, 1
