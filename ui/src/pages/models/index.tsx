import { Button, Tabs } from "@mantine/core"
import { IconBox, IconPlus, IconTags } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { useMay } from "../../app/session"
import { PageHead } from "../../parts/PageHead"
import { useUrl } from "../../parts/url"
import { Catalogue } from "./Catalogue"
import { Detail } from "./Detail"
import { NameForm } from "./NameForm"
import { Names } from "./Names"

/**
 * `tab`; the name whose drawer is open and the project that it is looked at `as`; `edit`: the id of the logical name in
 * the form, `new`, or `to:MODEL` for a new name of that model.
 */
const DEFAULTS = { tab: "names", name: "", as: "", edit: "" }

export default function Models() {
  const { t } = useTranslation("models")
  const [url, set] = useUrl(DEFAULTS)
  const may = useMay("editor")
  const open = (name: string, as = "") => set({ name, as })
  const edit = (what: string) => set({ edit: what })

  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <Button leftSection={<IconPlus size={15} />} disabled={!may} onClick={() => edit("new")}>
          {t("map")}
        </Button>
      </PageHead>
      <Tabs value={url.tab} onChange={(tab) => set({ tab: tab ?? "" })} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="names" leftSection={<IconTags size={15} />}>
            {t("tabs.names")}
          </Tabs.Tab>
          <Tabs.Tab value="catalogue" leftSection={<IconBox size={15} />}>
            {t("tabs.catalogue")}
          </Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="names">
          <Names chosen={url.name} open={open} edit={edit} />
        </Tabs.Panel>
        <Tabs.Panel value="catalogue">
          <Catalogue chosen={url.name} open={open} />
        </Tabs.Panel>
      </Tabs>
      <Detail name={url.name} as={url.as} look={open} edit={edit} onClose={() => set({ name: "", as: "" })} />
      {url.edit && <NameForm key={url.edit} what={url.edit} onClose={() => set({ edit: "" })} />}
    </>
  )
}
