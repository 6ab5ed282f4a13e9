-- The sum over the cuisines is the number of recipes: returns a row when it is not.
{{ config(
    description='The cuisines together have every recipe once',
    meta={'dagster': {'ref': {'name': 'recipes_per_cuisine'}}}
) }}

select counted.recipes, source.recipes as expected
from (select sum(recipes) as recipes from {{ ref('recipes_per_cuisine') }}) as counted
cross join (
    select count(distinct (recipe_id, coalesce(cuisine, 'unknown'))) as recipes
    from {{ source('recipes', 'recipe_ingredients') }}
) as source
where counted.recipes is distinct from source.recipes
