import { Tabs } from "@mantine/core"
import { useTranslation } from "react-i18next"
import { useNavigate, useParams } from "react-router"

import { PageHead } from "../../parts/PageHead"
import { Account } from "./Account"
import { Doctor } from "./Doctor"
import { File } from "./File"
import { Values } from "./Values"

const tabs = { values: Values, file: File, doctor: Doctor, account: Account }

/** What the gateway runs with: every setting, the same as a file, what is wrong with it, and one's own account. */
export default function Settings() {
  const { t } = useTranslation("settings")
  const navigate = useNavigate()
  const asked = useParams()["*"] ?? ""
  const tab = asked in tabs ? asked : "values"
  return (
    <>
      <PageHead title={t("title")} about={t("about")} />
      <Tabs value={tab} onChange={(next) => void navigate(`/settings/${next}`)} keepMounted={false}>
        <Tabs.List mb="md">
          {Object.keys(tabs).map((name) => (
            <Tabs.Tab key={name} value={name}>
              {t(`tabs.${name}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {Object.entries(tabs).map(([name, Panel]) => (
          <Tabs.Panel key={name} value={name}>
            <Panel />
          </Tabs.Panel>
        ))}
      </Tabs>
    </>
  )
}
