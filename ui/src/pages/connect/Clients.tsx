import { Anchor, Grid, Group, NavLink, ScrollArea, Select, Skeleton, Text, Title } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { Problem } from "../../parts/Problem"
import { RecipeView } from "../../parts/RecipeView"
import { Search } from "../../parts/Search"
import { useRecipes } from "../../parts/recipes"
import { Copy } from "../../parts/CodeBox"

export interface Chosen {
  client: string
  model: string
  q: string
}

interface Props {
  /** Whose models are offered; absent: all. */
  project?: string
  chosen: Chosen
  onChoose: (changes: Partial<Chosen>) => void
}

/** Every client that there is a recipe for, and the chosen one's. */
export function Clients({ project, chosen, onChoose }: Props) {
  const { t } = useTranslation("connect")
  const recipes = useRecipes(project, chosen.model)
  const data = recipes.data
  if (recipes.error) return <Problem error={recipes.error} again={() => void recipes.refetch()} />
  if (!data) return <Skeleton h={320} aria-label={t("loading", { ns: "shell" })} />

  const sought = chosen.q.trim().toLowerCase()
  const found = data.data.filter(({ client, title, endpoints }) =>
    [client, title, ...endpoints].join(" ").toLowerCase().includes(sought),
  )
  const recipe = found.find(({ client }) => client === chosen.client) ?? found[0]
  const models = data.models.map(({ name, ready }) => ({
    value: name,
    label: ready ? name : t("notReady", { name }),
  }))
  if (!models.some(({ value }) => value === data.model))
    models.unshift({ value: data.model, label: data.model })

  return (
    <>
      <Group align="flex-end" gap="sm" mb="md">
        <Select
          label={t("model")}
          data={models}
          value={data.model}
          onChange={(value) => onChoose({ model: value ?? "" })}
          searchable
          limit={50}
          allowDeselect={false}
          w={{ base: "100%", xs: 260 }}
        />
        <div>
          <Text size="sm" fw={500}>
            {t("address")}
          </Text>
          <Group gap={4} h={36}>
            <Text size="sm" ff="monospace">
              {data.base_url}
            </Text>
            <Copy value={data.base_url} />
          </Group>
        </div>
      </Group>
      <Grid gap="lg">
        <Grid.Col span={{ base: 12, sm: 4, lg: 3 }}>
          <Search label={t("search")} value={chosen.q} onChange={(q) => onChoose({ q })} mb="xs" />
          <ScrollArea.Autosize mah={{ base: 182, sm: 620 }} type="hover">
            <nav aria-label={t("clients")}>
              {found.map(({ client, title }) => (
                <NavLink
                  key={client}
                  component="button"
                  type="button"
                  label={title.replaceAll("`", "")}
                  active={client === recipe?.client}
                  aria-current={client === recipe?.client ? "true" : undefined}
                  onClick={() => onChoose({ client })}
                  className="nav"
                />
              ))}
            </nav>
            {found.length === 0 && (
              <Text size="sm" c="dimmed">
                {t("nothing")}
              </Text>
            )}
          </ScrollArea.Autosize>
        </Grid.Col>
        <Grid.Col span={{ base: 12, sm: 8, lg: 9 }}>
          {recipe && (
            <section aria-label={recipe.title.replaceAll("`", "")}>
              <Title order={2} size="h4" mb={2}>
                {recipe.title.replaceAll("`", "")}
              </Title>
              <Text size="xs" c="dimmed" ff="monospace" mb="md">
                {recipe.endpoints.join("  ·  ")}
              </Text>
              <RecipeView recipe={recipe} recipes={data} />
              <Text size="sm" c="dimmed" mt="md">
                {t("key", { key: data.key })}{" "}
                <Anchor
                  component={Link}
                  to={project ? `/projects/${encodeURIComponent(project)}` : "/projects"}
                  size="sm"
                  underline="always"
                >
                  {t("makeKey")}
                </Anchor>
              </Text>
            </section>
          )}
        </Grid.Col>
      </Grid>
    </>
  )
}
