import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"

export default function Usage() {
  const { t } = useTranslation("usage")
  return <PageHead title={t("title")} about={t("about")} />
}
