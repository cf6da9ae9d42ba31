import { Alert, List, Stack, Text } from "@mantine/core"
import { IconInfoCircle } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { CodeBox } from "./CodeBox"
import { number } from "./format"
import { instruction, type Recipe, type Recipes, withKey } from "./recipes"
import { Words } from "./Words"

interface Props {
  recipe: Recipe
  recipes: Recipes
  /** A key just made; absent: its placeholder stands there. */
  secret?: string
}

/** What to do to connect one client, part by part, and what it wants. */
export function RecipeView({ recipe, recipes, secret }: Props) {
  const { t } = useTranslation("connect")
  const short = recipes.context_length != null && recipe.context > recipes.context_length
  return (
    <Stack gap="sm">
      {recipe.parts.map((part, at) => (
        <div key={at}>
          <Text size="sm" mb={6}>
            <Words>{instruction(part.says)}</Words>
          </Text>
          <CodeBox code={withKey(part.text, recipes, secret)} label={instruction(part.says)} />
        </div>
      ))}
      {short && (
        <Alert color="yellow" icon={<IconInfoCircle />} p="xs">
          {t("short", {
            model: recipes.model,
            has: number(recipes.context_length),
            wants: number(recipe.context),
          })}
        </Alert>
      )}
      {(recipe.needs.length > 0 || recipe.context > 0) && (
        <List size="sm" spacing={4}>
          {recipe.context > 0 && <List.Item>{t("context", { tokens: number(recipe.context) })}</List.Item>}
          {recipe.needs.map((need) => (
            <List.Item key={need}>
              <Words>{instruction(need)}</Words>
            </List.Item>
          ))}
        </List>
      )}
      {recipe.file && (
        <div>
          <Text size="sm" mb={6}>
            {t("file", { path: recipe.file.path })}
          </Text>
          <CodeBox code={`llm-gateway connect ${recipe.client} --write`} />
        </div>
      )}
    </Stack>
  )
}
