import {
  Alert,
  Badge,
  Button,
  Card,
  Grid,
  Group,
  List,
  Skeleton,
  Stack,
  Text,
  Textarea,
  Title,
} from "@mantine/core"
import { IconDownload, IconGitCompare } from "@tabler/icons-react"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { type Shape, use } from "../../api/client"
import { useMay } from "../../app/session"
import { CodeBox } from "../../parts/CodeBox"
import { DataTable } from "../../parts/DataTable"
import { Problem } from "../../parts/Problem"

type Difference = Shape["Difference"]
const colours = { created: "teal", updated: "yellow", removed: "red", setting: "brand" } as const

/** What the database holds, as a config file; and what another file would change, before anybody uses it. */
export function File() {
  const { t } = useTranslation("settings")
  const may = useMay("editor")
  const [draft, setDraft] = useState("")
  const exported = use.useQuery("get", "/admin/api/config/export")
  const diff = use.useMutation("post", "/admin/api/config/diff")
  const yaml = exported.data?.yaml ?? ""
  const save = () => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob([yaml], { type: "application/yaml" }))
    link.download = "gateway.yaml"
    link.click()
    URL.revokeObjectURL(link.href)
  }
  return (
    <Grid>
      <Grid.Col span={{ base: 12, lg: 6 }}>
        <Card>
          <Stack gap="sm">
            <Group justify="space-between">
              <Title order={2} size="h5">
                {t("export")}
              </Title>
              <Button
                variant="default"
                leftSection={<IconDownload size={15} />}
                onClick={save}
                disabled={!yaml}
              >
                gateway.yaml
              </Button>
            </Group>
            <Text size="sm" c="dimmed">
              {t("exportAbout")}
            </Text>
            {exported.error && <Problem error={exported.error} />}
            {exported.data?.left_out.length ? (
              <Alert color="yellow" title={t("leftOut")}>
                <List size="sm">
                  {exported.data.left_out.map((one) => (
                    <List.Item key={one}>{one}</List.Item>
                  ))}
                </List>
              </Alert>
            ) : null}
            {exported.isPending ? <Skeleton h={240} /> : <CodeBox code={yaml} label={t("export")} />}
          </Stack>
        </Card>
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 6 }}>
        <Card>
          <Stack gap="sm">
            <Title order={2} size="h5">
              {t("diff")}
            </Title>
            <Text size="sm" c="dimmed">
              {t("diffAbout")}
            </Text>
            <Textarea
              aria-label={t("diffText")}
              placeholder={t("diffText")}
              value={draft}
              onChange={(event) => setDraft(event.currentTarget.value)}
              minRows={8}
              maxRows={20}
              autosize
              ff="monospace"
            />
            <Group>
              <Button
                leftSection={<IconGitCompare size={15} />}
                disabled={!draft.trim() || !may}
                loading={diff.isPending}
                onClick={() => diff.mutate({ body: { yaml: draft } })}
              >
                {t("diffShow")}
              </Button>
              <Button variant="subtle" onClick={() => setDraft(yaml)} disabled={!yaml}>
                {t("diffFrom")}
              </Button>
            </Group>
            {diff.error && <Problem error={diff.error} />}
            {diff.data && (
              <>
                <DataTable<Difference>
                  label={t("diff")}
                  rows={diff.data.data}
                  keyOf={({ change, what }) => change + what}
                  empty={<Alert color="teal">{t("same")}</Alert>}
                  columns={[
                    {
                      id: "change",
                      title: t("change"),
                      sort: (one) => one.change,
                      cell: (one) => <Badge color={colours[one.change]}>{t(`changes.${one.change}`)}</Badge>,
                    },
                    { id: "what", title: t("what"), sort: (one) => one.what, cell: (one) => one.what },
                    {
                      id: "values",
                      title: t("values"),
                      cell: (one) =>
                        one.change === "setting"
                          ? `${JSON.stringify(one.now)} → ${JSON.stringify(one.then)}`
                          : "",
                    },
                  ]}
                />
                <Text size="xs" c="dimmed">
                  {t("diffThen")}
                </Text>
              </>
            )}
          </Stack>
        </Card>
      </Grid.Col>
    </Grid>
  )
}
