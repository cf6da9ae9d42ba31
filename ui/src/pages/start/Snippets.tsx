import { Alert, Anchor, Button, Select, Skeleton, Tabs, Text } from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { IconWorld } from "@tabler/icons-react"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { Problem } from "../../parts/Problem"
import { RecipeView } from "../../parts/RecipeView"
import { useRecipes } from "../../parts/recipes"
import { Consent } from "../projects/Consent"
import { useProjects } from "../projects/shapes"
import { useSave } from "../projects/useSave"
import type { Fresh } from "./shapes"

const clients = ["curl", "openai-python", "openai-js", "open-webui", "claude-code"]

/** What to paste for a first request, with the fresh key in it where there is one. */
export function Snippets({ fresh }: { fresh: Fresh | null }) {
  const { t } = useTranslation("start")
  const [model, setModel] = useState("")
  const recipes = useRecipes(fresh?.project, model)
  const data = recipes.data
  if (recipes.error) return <Problem error={recipes.error} again={() => void recipes.refetch()} />
  if (!data) return <Skeleton h={160} mt="xs" />
  if (data.models.length === 0 && fresh)
    return <NoModels project={fresh.project} onAllowed={() => void recipes.refetch()} />
  return (
    <>
      <Select
        label={t("snippet.model")}
        data={data.models.filter(({ ready }) => ready).map(({ name }) => name)}
        value={data.model}
        onChange={(value) => setModel(value ?? "")}
        searchable
        limit={50}
        allowDeselect={false}
        maw={280}
        mt={4}
        mb="sm"
      />
      <Tabs defaultValue="curl" keepMounted={false}>
        <Tabs.List mb="sm">
          {clients.map((client) => (
            <Tabs.Tab key={client} value={client}>
              {t(`snippet.${client}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {data.data
          .filter(({ client }) => clients.includes(client))
          .map((recipe) => (
            <Tabs.Panel key={recipe.client} value={recipe.client}>
              <RecipeView recipe={recipe} recipes={data} secret={fresh?.secret} />
            </Tabs.Panel>
          ))}
      </Tabs>
      <Text size="sm" c="dimmed" mt="sm">
        {!fresh && t("snippet.placeholder", { key: data.key })}{" "}
        <Anchor component={Link} to="/connect" size="sm" underline="always">
          {t("snippet.more")}
        </Anchor>
      </Text>
    </>
  )
}

/** The project may use none of the servers that there are: mostly because they are strangers'. */
function NoModels({ project, onAllowed }: { project: string; onAllowed: () => void }) {
  const { t } = useTranslation("start")
  const found = useProjects().data?.data.find(({ name }) => name === project)
  const [asking, ask] = useDisclosure()
  if (!found) return <Skeleton h={80} mt="xs" />
  return (
    <>
      <Alert color="orange" icon={<IconWorld />} mt="xs">
        <Text size="sm">{t("noModels.text", { project })}</Text>
        {!found.trust.includes("public") && found.owner !== "file" && (
          <Button mt="xs" variant="default" onClick={ask.open}>
            {t("noModels.action")}
          </Button>
        )}
      </Alert>
      {asking && <Allow project={found} onClose={ask.close} onAllowed={onAllowed} />}
    </>
  )
}

interface AllowProps {
  project: Parameters<typeof useSave>[0]
  onClose: () => void
  onAllowed: () => void
}

function Allow({ project, onClose, onAllowed }: AllowProps) {
  const { save, isPending, error } = useSave(project, () => {
    onClose()
    onAllowed()
  })
  return (
    <Consent
      project={project.name}
      tools={project.public_tools}
      busy={isPending}
      error={error}
      onClose={onClose}
      onAgree={() => save({ trust: [...project.trust, "public"] })}
    />
  )
}
