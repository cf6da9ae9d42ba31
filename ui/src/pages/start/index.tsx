import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Start() {
  const { t } = useTranslation("start")
  return <PageHead title={t("title")} about={t("about")} />
}
