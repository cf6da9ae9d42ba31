import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Alerts() {
  const { t } = useTranslation("alerts")
  return <PageHead title={t("title")} about={t("about")} />
}
