import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Settings() {
  const { t } = useTranslation("settings")
  return <PageHead title={t("title")} about={t("about")} />
}
