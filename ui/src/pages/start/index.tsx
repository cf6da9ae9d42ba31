import { Button, Progress, Skeleton, Text } from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { CodeBox } from "../../parts/CodeBox"
import { number } from "../../parts/format"
import { PageHead } from "../../parts/PageHead"
import { Problem } from "../../parts/Problem"
import { FirstRequestStep, FreshRequestStep } from "./FirstRequestStep"
import { MakeKey } from "./MakeKey"
import type { Fresh } from "./shapes"
import { Snippets } from "./Snippets"
import classes from "./start.module.css"
import { Step } from "./Step"

const LOOK = 2000 // ms; the answer is made from memory
const REST = 15_000

/** From an empty gateway to the first answer, step by step. */
export default function Start() {
  const { t } = useTranslation("start")
  const [fresh, setFresh] = useState<Fresh | null>(null)
  const [another, makeAnother] = useDisclosure()
  const { data, error, refetch } = use.useQuery(
    "get",
    "/admin/api/onboarding",
    {},
    { refetchInterval: (query) => (query.state.data?.done && !fresh ? REST : LOOK) },
  )
  const head = <PageHead title={t("title")} about={t("about")} />
  if (error && !data)
    return (
      <>
        {head}
        <Problem error={error} again={() => void refetch()} />
      </>
    )
  if (!data)
    return (
      <>
        {head}
        <Skeleton h={360} maw={820} aria-label={t("loading", { ns: "shell" })} />
      </>
    )
  const { catalogue, fleet, project, key, first_request: first } = data
  const fleetPage = { label: t("places.fleet"), to: "/fleet" }
  const wrong = (step: { cause: string | null; hint: string | null }) =>
    step.cause ? { cause: step.cause, hint: step.hint, action: fleetPage } : null
  const keyed = fresh ? "done" : project.state === "done" ? key.state : project.state

  return (
    <>
      {head}
      <ol className={classes.steps}>
        <Step
          state={catalogue.state}
          title={t("catalogue.title")}
          result={
            catalogue.servers > 0 &&
            t("catalogue.result", { servers: number(catalogue.servers), models: number(catalogue.models) })
          }
          trouble={wrong(catalogue)}
        >
          {catalogue.error && !catalogue.cause && (
            <Text size="sm" c="dimmed">
              {t("catalogue.partly")} {catalogue.error}
            </Text>
          )}
        </Step>
        <Step
          state={fleet.state}
          title={t("fleet.title")}
          result={
            fleet.total > 0 &&
            t("fleet.result", {
              probed: number(fleet.probed),
              total: number(fleet.total),
              healthy: number(fleet.healthy),
            })
          }
          trouble={wrong(fleet)}
        >
          {fleet.probed < fleet.total && (
            <Progress
              mt={6}
              size="sm"
              maw={420}
              value={(fleet.probed / fleet.total) * 100}
              aria-label={t("fleet.title")}
            />
          )}
        </Step>
        <Step
          state={keyed}
          title={t("key.title")}
          result={
            keyed === "done" &&
            !fresh &&
            `${t("key.projects", { count: project.count })}, ${t("key.keys", { count: key.count })}`
          }
        >
          {fresh ? (
            <>
              <Text size="sm" mt={4} mb="xs">
                {t("key.once", { project: fresh.project })}
              </Text>
              <CodeBox code={fresh.secret} label={t("key.title")} />
            </>
          ) : keyed === "done" && !another ? (
            <Button variant="default" mt="xs" onClick={makeAnother.open}>
              {t("key.another")}
            </Button>
          ) : (
            <MakeKey onMade={setFresh} />
          )}
        </Step>
        <Step
          state={keyed !== "done" ? "waiting" : data.done || first.request_id ? "done" : "active"}
          title={t("snippet.title")}
        >
          {keyed === "done" && <Snippets fresh={fresh} />}
        </Step>
        {fresh ? <FreshRequestStep fresh={fresh} first={first} /> : <FirstRequestStep first={first} />}
      </ol>
    </>
  )
}
